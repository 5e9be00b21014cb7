#include "cores/taylor_features/kernel.h"

#include <cmath>
#include <numbers>

#include "kernels/reference/monomials.h"

namespace rebased::kernels::reference {

void taylor_features(int64_t N, int64_t D, bool packed, const double* x, double* y) noexcept {
  const double root = std::sqrt(static_cast<double>(D));
  for (int64_t n = 0; n < N; ++n, x += D) {
    *y++ = 1;
    for (int64_t i = 0; i < D; ++i) *y++ = x[i] / std::sqrt(root);
    for (int64_t i = 0; packed && i < D; ++i) *y++ = x[i] * x[i] / (std::sqrt(2.0) * root);
    for (int64_t i = 0; i < D; ++i) {
      for (int64_t j = packed ? i + 1 : 0; j < D; ++j) *y++ = x[i] * x[j] / (packed ? root : std::sqrt(2.0) * root);
    }
  }
}

void taylor_features_grad(int64_t N, int64_t D, bool packed, const double* x, const double* dy, double* dx) noexcept {
  const double root = std::sqrt(static_cast<double>(D)), square = 1 / (std::numbers::sqrt2 * root);
  for (int64_t n = 0; n < N; ++n, x += D, dx += D) {
    ++dy;
    for (int64_t i = 0; i < D; ++i) dx[i] = *dy++ / std::sqrt(root);
    if (packed) {
      add_packed_gradient(D, square, 1 / root, x, dy, dx);
      dy += D * (D + 1) / 2;
      continue;
    }
    for (int64_t i = 0; i < D; ++i) {
      for (int64_t j = 0; j < D; ++j, ++dy) {
        dx[i] += square * x[j] * *dy;
        dx[j] += square * x[i] * *dy;
      }
    }
  }
}

}  // namespace rebased::kernels::reference
