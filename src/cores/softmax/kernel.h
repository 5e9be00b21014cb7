#pragma once

#include <cstdint>

namespace rebased::kernels {

namespace cpu {
// Rows of C: numerically safe softmax.
void softmax(int64_t N, int64_t C, const float* x, float* y) noexcept;
// y the softmax: dx = y (dy - <dy, y>); dx may be dy.
void softmax_grad(int64_t N, int64_t C, const float* y, const float* dy, float* dx) noexcept;
}  // namespace cpu

namespace reference {
void softmax(int64_t N, int64_t C, const double* x, double* y) noexcept;
void softmax_grad(int64_t N, int64_t C, const double* y, const double* dy, double* dx) noexcept;
}  // namespace reference

}  // namespace rebased::kernels
