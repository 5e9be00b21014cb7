#include "kernels/thin_linear.h"

#include <algorithm>

namespace rebased::kernels::reference {

void linear_grad(int64_t N, int64_t I, int64_t O, const double* x, const double* w, const double* dy, double* dx,
                 double* dw, double* dbias) noexcept {
  std::fill_n(dw, O * I, 0.0);
  if (dbias) std::fill_n(dbias, O, 0.0);
  if (dx) std::fill_n(dx, N * I, 0.0);
  for (int64_t n = 0; n < N; ++n, x += I, dy += O) {
    for (int64_t o = 0; o < O; ++o) {
      for (int64_t i = 0; i < I; ++i) {
        dw[o * I + i] += dy[o] * x[i];
        if (dx) dx[n * I + i] += dy[o] * w[o * I + i];
      }
      if (dbias) dbias[o] += dy[o];
    }
  }
}

}  // namespace rebased::kernels::reference
