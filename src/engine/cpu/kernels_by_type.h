#pragma once

#include <type_traits>

#include "kernels/cross_entropy.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"

// Kernels by the type of their arrays: float runs those of kernels::cpu, double the plain loops of kernels/reference,
// which use no scratch.
namespace rebased::kernels::by_type {

using cpu::add, reference::add;
using cpu::add_to_rows, reference::add_to_rows;
using cpu::cross_entropy, reference::cross_entropy;
using cpu::embedding, reference::embedding;
using cpu::mul, reference::mul;
using cpu::scale_shift, reference::scale_shift;
using cpu::sum_columns, reference::sum_columns;
using cpu::sum_rows, reference::sum_rows;
using cpu::unary, reference::unary;
using cpu::unary_grad, reference::unary_grad;

using cpu::cross_entropy_scratch;
inline int64_t cross_entropy_scratch(const CrossEntropyArgs<double>& /*args*/) noexcept { return 0; }

using cpu::linear;
inline void linear(int64_t N, int64_t I, int64_t O, const double* x, const double* w, const double* bias, double* y,
                   double* /*scratch*/) noexcept {
  reference::linear(N, I, O, x, w, bias, y);
}
template <class Real>
int64_t linear_scratch(int64_t N, int64_t I) noexcept {
  return std::is_same_v<Real, float> ? cpu::linear_scratch(N, I) : 0;
}

}  // namespace rebased::kernels::by_type
