#include "kernels/blas_product.h"
#include "kernels/dense_grad.h"
#include "kernels/thin_linear.h"

namespace rebased::kernels::cpu {
namespace {

bool is_thin(const LinearGradArgs& a) { return a.dw != nullptr && prefers_thin_linear(a.N, a.I, a.O); }

}  // namespace

int64_t linear_grad_scratch(const LinearGradArgs& args) noexcept {
  return is_thin(args) ? thin_linear_grad_scratch(args) : 0;
}

void linear_grad(const LinearGradArgs& a) noexcept {
  if (is_thin(a)) return thin_linear_grad(a);
  if (a.dbias) sum_columns(a.N, a.O, a.dy, a.dbias);
  if (a.I == 0) return;
  if (a.dx) blas_product({.M = a.N, .N = a.I, .K = a.O, .a = a.dy, .b = a.w, .c = a.dx});
  if (a.dw) blas_product({.M = a.O, .N = a.I, .K = a.N, .a = a.dy, .a_turned = true, .b = a.x, .c = a.dw});
}

}  // namespace rebased::kernels::cpu
