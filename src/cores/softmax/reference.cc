#include "cores/softmax/kernel.h"

#include <algorithm>
#include <cmath>

namespace rebased::kernels::reference {

void softmax(int64_t N, int64_t C, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += C, y += C) {
    const double top = C > 0 ? *std::max_element(x, x + C) : 0;
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) sum += std::exp(x[c] - top);
    for (int64_t c = 0; c < C; ++c) y[c] = std::exp(x[c] - top) / sum;
  }
}

void softmax_grad(int64_t N, int64_t C, const double* y, const double* dy, double* dx) noexcept {
  for (int64_t n = 0; n < N; ++n, y += C, dy += C, dx += C) {
    double mean = 0;
    for (int64_t c = 0; c < C; ++c) mean += y[c] * dy[c];
    for (int64_t c = 0; c < C; ++c) dx[c] = y[c] * (dy[c] - mean);
  }
}

}  // namespace rebased::kernels::reference
