#include <cblas.h>

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
  const auto N = static_cast<int>(a.N), I = static_cast<int>(a.I), O = static_cast<int>(a.O);
  if (a.dbias) sum_columns(a.N, a.O, a.dy, a.dbias);
  if (I == 0) return;
  const int lead = O > 0 ? O : 1;
  if (a.dx) cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, I, O, 1, a.dy, lead, a.w, I, 0, a.dx, I);
  if (a.dw) cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, O, I, N, 1, a.dy, lead, a.x, I, 0, a.dw, I);
}

}  // namespace rebased::kernels::cpu
