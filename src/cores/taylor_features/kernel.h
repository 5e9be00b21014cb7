#pragma once

#include <cstdint>

namespace rebased::kernels {

namespace cpu {
// Rows of D -> rows of features with phi(q) . phi(k) = 1 + s + s^2/2, s = <q, k> / sqrt(D) (arXiv:2402.18668):
//   [1 | x / D^(1/4) | x_i x_j / sqrt(2 D), all i, j row by row]  or, packed, with the last part
//   [x_i^2 / sqrt(2 D) | x_i x_j / sqrt(D), i < j row by row].
void taylor_features(int64_t N, int64_t D, bool packed, const float* x, float* y) noexcept;
// x, dx [N, D], dy [N, features]
void taylor_features_grad(int64_t N, int64_t D, bool packed, const float* x, const float* dy, float* dx) noexcept;
}  // namespace cpu

namespace reference {
void taylor_features(int64_t N, int64_t D, bool packed, const double* x, double* y) noexcept;
void taylor_features_grad(int64_t N, int64_t D, bool packed, const double* x, const double* dy, double* dx) noexcept;
}  // namespace reference

}  // namespace rebased::kernels
