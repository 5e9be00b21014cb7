#include "cores/norm/kernel.h"

#include <algorithm>
#include <cmath>

namespace rebased::kernels::reference {

void layer_norm(int64_t N, int64_t C, const double* x, const double* gamma, const double* beta, double eps,
                double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += C, y += C) {
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < C; ++c) mean += x[c] / static_cast<double>(C);
    for (int64_t c = 0; c < C; ++c) variance += (x[c] - mean) * (x[c] - mean) / static_cast<double>(C);
    for (int64_t c = 0; c < C; ++c) {
      y[c] = (x[c] - mean) / std::sqrt(variance + eps) * (gamma ? gamma[c] : 1) + (beta ? beta[c] : 0);
    }
  }
}

void rms_norm(int64_t N, int64_t C, const double* x, const double* weight, double eps, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += C, y += C) {
    double square = 0;
    for (int64_t c = 0; c < C; ++c) square += x[c] * x[c] / static_cast<double>(C);
    for (int64_t c = 0; c < C; ++c) y[c] = x[c] / std::sqrt(square + eps) * (weight ? weight[c] : 1);
  }
}

namespace {

// With u = (x - mean) / sqrt(mean square + eps) and g = dy * gain:
//   dx = (g - mean(g) - u mean(g u)) / sqrt(..),  d_gain = sum dy u,  d_shift = sum dy;
// without centering the term mean(g) is absent.
void norm_grad(const NormGradArgs<double>& a, bool centred) {
  const auto C = static_cast<double>(a.C);
  if (a.d_gain) std::fill_n(a.d_gain, a.C, 0.0);
  if (a.d_shift) std::fill_n(a.d_shift, a.C, 0.0);
  for (int64_t n = 0; n < a.N; ++n) {
    const double *x = a.x + n * a.C, *dy = a.dy + n * a.C;
    double mean = 0, square = 0, mean_g = 0, mean_gu = 0;
    for (int64_t c = 0; centred && c < a.C; ++c) mean += x[c] / C;
    for (int64_t c = 0; c < a.C; ++c) square += (x[c] - mean) * (x[c] - mean) / C;
    const double factor = 1 / std::sqrt(square + a.eps);
    auto u = [&](int64_t c) { return (x[c] - mean) * factor; };
    auto g = [&](int64_t c) { return dy[c] * (a.gain ? a.gain[c] : 1); };
    for (int64_t c = 0; c < a.C; ++c) {
      if (centred) mean_g += g(c) / C;
      mean_gu += g(c) * u(c) / C;
      if (a.d_gain) a.d_gain[c] += dy[c] * u(c);
      if (a.d_shift) a.d_shift[c] += dy[c];
    }
    for (int64_t c = 0; c < a.C; ++c) {
      a.dx[n * a.C + c] = factor * (g(c) - mean_g - u(c) * mean_gu) + (a.other ? a.other[n * a.C + c] : 0);
    }
  }
}

}  // namespace

void layer_norm_grad(const NormGradArgs<double>& args) noexcept { norm_grad(args, true); }
void rms_norm_grad(const NormGradArgs<double>& args) noexcept { norm_grad(args, false); }

}  // namespace rebased::kernels::reference
