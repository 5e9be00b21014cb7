#pragma once

#include <cstdint>

namespace rebased::kernels {

namespace cpu {
// [x_i^2 | sqrt(2) x_i x_j, i < j row by row], second-order monomials of rows of D: phi(q) . phi(k) = <q, k>^2.
void packed_squares(int64_t N, int64_t D, const float* x, float* y) noexcept;
// x, dx [N, D], dy [N, D (D + 1) / 2]
void packed_squares_grad(int64_t N, int64_t D, const float* x, const float* dy, float* dx) noexcept;
}  // namespace cpu

namespace reference {
void packed_squares(int64_t N, int64_t D, const double* x, double* y) noexcept;
void packed_squares_grad(int64_t N, int64_t D, const double* x, const double* dy, double* dx) noexcept;
}  // namespace reference

}  // namespace rebased::kernels
