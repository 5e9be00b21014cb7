#include "kernels/dense_grad.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rebased::kernels::reference {
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

void swiglu_grad(int64_t N, int64_t C, const double* x, const double* dy, double* dx) noexcept {
  for (int64_t n = 0; n < N; ++n, x += 2 * C, dy += C, dx += 2 * C) {
    for (int64_t c = 0; c < C; ++c) {
      const double up = x[c], gate = x[C + c], sigmoid = 1 / (1 + std::exp(-gate));
      dx[c] = dy[c] * gate * sigmoid;
      dx[C + c] = dy[c] * up * sigmoid * (1 + gate * (1 - sigmoid));
    }
  }
}

namespace {

double slope(Unary op, double x) {
  const double sigmoid = 1 / (1 + std::exp(-x));
  switch (op) {
    case Unary::kSilu:
      return sigmoid * (1 + x * (1 - sigmoid));
    case Unary::kGelu:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    case Unary::kRelu:
      return x <= 0 ? 0 : 1;
    case Unary::kElu:
      return x > 0 ? 1 : std::exp(x);
    case Unary::kExp:
      return std::exp(x);
    case Unary::kSquare:
      return 2 * x;
    case Unary::kTanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Unary::kSigmoid:
      return sigmoid * (1 - sigmoid);
  }
  return 0;
}

// dx += the gradient of square x_i^2 and, behind them, cross x_i x_j for i < j.
void add_packed_slopes(int64_t D, double square, double cross, const double* x, const double* dy, double* dx) {
  for (int64_t i = 0; i < D; ++i) dx[i] += 2 * square * x[i] * dy[i];
  const double* pair = dy + D;
  for (int64_t i = 0; i < D; ++i) {
    for (int64_t j = i + 1; j < D; ++j, ++pair) {
      dx[i] += cross * x[j] * *pair;
      dx[j] += cross * x[i] * *pair;
    }
  }
}

}  // namespace

void unary_grad(Unary op, int64_t n, const double* x, const double* dy, double* dx) noexcept {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * slope(op, x[i]);
}

void softmax_grad(int64_t N, int64_t C, const double* y, const double* dy, double* dx) noexcept {
  for (int64_t n = 0; n < N; ++n, y += C, dy += C, dx += C) {
    double mean = 0;
    for (int64_t c = 0; c < C; ++c) mean += y[c] * dy[c];
    for (int64_t c = 0; c < C; ++c) dx[c] = y[c] * (dy[c] - mean);
  }
}

void sum_columns(int64_t N, int64_t C, const double* x, double* sums) noexcept {
  std::fill_n(sums, C, 0.0);
  for (int64_t i = 0; i < N * C; ++i) sums[i % C] += x[i];
}

void taylor_features_grad(int64_t N, int64_t D, bool packed, const double* x, const double* dy, double* dx) noexcept {
  const double root = std::sqrt(static_cast<double>(D)), square = 1 / (std::numbers::sqrt2 * root);
  for (int64_t n = 0; n < N; ++n, x += D, dx += D) {
    ++dy;
    for (int64_t i = 0; i < D; ++i) dx[i] = *dy++ / std::sqrt(root);
    if (packed) {
      add_packed_slopes(D, square, 1 / root, x, dy, dx);
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

void packed_squares_grad(int64_t N, int64_t D, const double* x, const double* dy, double* dx) noexcept {
  std::fill_n(dx, N * D, 0.0);
  for (int64_t n = 0; n < N; ++n) {
    add_packed_slopes(D, 1, std::numbers::sqrt2, x + n * D, dy + n * (D * (D + 1) / 2), dx + n * D);
  }
}

void layer_norm_grad(const NormGradArgs<double>& args) noexcept { norm_grad(args, true); }
void rms_norm_grad(const NormGradArgs<double>& args) noexcept { norm_grad(args, false); }

}  // namespace rebased::kernels::reference
