#include "cores/short_conv/kernel.h"

#include <algorithm>
#include <cmath>

namespace rebased::kernels::reference {
namespace {

using Args = ShortConvArgs<double>;

// Input s of row b, channel c, where s < 0 reaches into the state.
double input(const Args& a, int64_t b, int64_t s, int64_t c) {
  if (s >= 0) return a.x[(b * a.T + s) * a.C + c];
  return a.state0 ? a.state0[(b * (a.K - 1) + s + a.K - 1) * a.C + c] : 0;
}

// The input `lag` tokens before token t.
double seen_input(const Args& a, int64_t b, int64_t t, int64_t lag, int64_t c) {
  return sees(a, b, t, lag) ? input(a, b, t - lag, c) : 0;
}

double pre_activation(const Args& a, int64_t b, int64_t t, int64_t c) {
  double u = a.bias ? a.bias[c] : 0;
  for (int64_t j = 0; j < a.K; ++j) u += a.w[c * a.K + j] * seen_input(a, b, t, a.K - 1 - j, c);
  return u;
}

// dL/du of token t < T.
double d_pre_activation(const ShortConvGradArgs<double>& g, int64_t b, int64_t t, int64_t c) {
  const Args& a = g.forward;
  const double dy = g.dy[(b * a.T + t) * a.C + c];
  if (!a.silu) return dy;
  const double u = pre_activation(a, b, t, c);
  const double s = 1 / (1 + std::exp(-u));
  return dy * s * (1 + u * (1 - s));
}

// dL/d(input s), s as in input(): from the outputs it reaches and from the final state.
double d_input(const ShortConvGradArgs<double>& g, int64_t b, int64_t s, int64_t c) {
  const Args& a = g.forward;
  double d = 0;
  for (int64_t j = 0; j < a.K; ++j) {
    const int64_t t = s + a.K - 1 - j;
    if (t >= 0 && t < a.T && sees(a, b, t, t - s)) d += a.w[c * a.K + j] * d_pre_activation(g, b, t, c);
  }
  const int64_t n = tokens_of_row(a, b), slot = s - n + a.K - 1;
  if (g.d_stateT && slot >= 0 && slot < a.K - 1 && (n == 0 || sees(a, b, n - 1, n - 1 - s)))
    d += g.d_stateT[(b * (a.K - 1) + slot) * a.C + c];
  return d;
}

}  // namespace

void short_conv(const Args& a) noexcept {
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t c = 0; c < a.C; ++c) {
      for (int64_t t = 0; t < a.T; ++t) {
        const double u = pre_activation(a, b, t, c);
        a.y[(b * a.T + t) * a.C + c] = a.silu ? u / (1 + std::exp(-u)) : u;
      }
      // Slot i reads slot i + n or an input: in this order the state may be its own source.
      const int64_t n = tokens_of_row(a, b);
      for (int64_t i = 0; a.stateT && i < a.K - 1; ++i) {
        const int64_t lag = a.K - 2 - i;
        a.stateT[(b * (a.K - 1) + i) * a.C + c] = n == 0 ? input(a, b, -1 - lag, c) : seen_input(a, b, n - 1, lag, c);
      }
    }
  }
}

void short_conv_grad(const ShortConvGradArgs<double>& g) noexcept {
  const Args& a = g.forward;
  std::fill_n(g.dw, a.C * a.K, 0.0);
  if (g.dbias) std::fill_n(g.dbias, a.C, 0.0);
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t c = 0; c < a.C; ++c) {
      for (int64_t t = 0; t < a.T; ++t) {
        const double du = d_pre_activation(g, b, t, c);
        for (int64_t j = 0; j < a.K; ++j) g.dw[c * a.K + j] += du * seen_input(a, b, t, a.K - 1 - j, c);
        if (g.dbias) g.dbias[c] += du;
        g.dx[(b * a.T + t) * a.C + c] = d_input(g, b, t, c);
      }
      for (int64_t i = 0; g.d_state0 && i < a.K - 1; ++i) {
        g.d_state0[(b * (a.K - 1) + i) * a.C + c] = d_input(g, b, i - a.K + 1, c);
      }
    }
  }
}

}  // namespace rebased::kernels::reference
