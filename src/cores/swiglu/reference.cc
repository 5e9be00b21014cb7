#include "cores/swiglu/kernel.h"

#include <cmath>

namespace rebased::kernels::reference {

void swiglu(int64_t N, int64_t C, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += 2 * C, y += C) {
    for (int64_t c = 0; c < C; ++c) y[c] = x[c] * x[C + c] / (1 + std::exp(-x[C + c]));
  }
}

void swiglu_grad(int64_t N, int64_t C, const double* x, const double* dy, double* dx) noexcept {
  for (int64_t n = 0; n < N; ++n, x += 2 * C, dy += C, dx += 2 * C) {
    for (int64_t c = 0; c < C; ++c) {
      const double up = x[c], gate = x[C + c], sigmoid = 1 / (1 + std::exp(-gate));
      dx[c] = dy[c] * gate * sigmoid;
      dx[C + c] = dy[c] * up * sigmoid * (1 + gate * (1 - sigmoid));
    }
  }
}

}  // namespace rebased::kernels::reference
