#pragma once

#include <cstdint>

namespace rebased::kernels::reference {

// dx += the gradient of square x_i^2 and, behind them, cross x_i x_j for i < j.
inline void add_packed_gradient(int64_t D, double square, double cross, const double* x, const double* dy, double* dx) {
  for (int64_t i = 0; i < D; ++i) dx[i] += 2 * square * x[i] * dy[i];
  const double* pair = dy + D;
  for (int64_t i = 0; i < D; ++i) {
    for (int64_t j = i + 1; j < D; ++j, ++pair) {
      dx[i] += cross * x[j] * *pair;
      dx[j] += cross * x[i] * *pair;
    }
  }
}

}  // namespace rebased::kernels::reference
