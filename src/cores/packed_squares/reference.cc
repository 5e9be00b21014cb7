#include "cores/packed_squares/kernel.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/reference/monomials.h"

namespace rebased::kernels::reference {

void packed_squares(int64_t N, int64_t D, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += D) {
    for (int64_t i = 0; i < D; ++i) *y++ = x[i] * x[i];
    for (int64_t i = 0; i < D; ++i) {
      for (int64_t j = i + 1; j < D; ++j) *y++ = std::sqrt(2.0) * x[i] * x[j];
    }
  }
}

void packed_squares_grad(int64_t N, int64_t D, const double* x, const double* dy, double* dx) noexcept {
  std::fill_n(dx, N * D, 0.0);
  for (int64_t n = 0; n < N; ++n) {
    add_packed_gradient(D, 1, std::numbers::sqrt2, x + n * D, dy + n * (D * (D + 1) / 2), dx + n * D);
  }
}

}  // namespace rebased::kernels::reference
