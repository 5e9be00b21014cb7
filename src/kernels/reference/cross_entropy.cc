#include "kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>

namespace rebased::kernels::reference {
namespace {

double logit(const CrossEntropyArgs<double>& a, int64_t n, int64_t v) {
  double sum = 0;
  for (int64_t c = 0; c < a.C; ++c) sum += a.x[n * a.C + c] * a.e[v * a.C + c];
  return sum;
}

// Adds row n's part of the gradients, given its largest logit and the sum of exponentials relative to it.
void add_gradients(const CrossEntropyArgs<double>& a, int64_t n, double top, double sum) {
  for (int64_t v = 0; v < a.V; ++v) {
    const double p = std::exp(logit(a, n, v) - top) / sum;
    const double d = a.grad_scale * (p - (v == a.labels[n] ? 1 : 0));
    for (int64_t c = 0; c < a.C; ++c) {
      a.d_x[n * a.C + c] += d * a.e[v * a.C + c];
      a.d_e[v * a.C + c] += d * a.x[n * a.C + c];
    }
  }
}

}  // namespace

void cross_entropy(const CrossEntropyArgs<double>& a) noexcept {
  if (a.d_x) std::fill_n(a.d_x, a.N * a.C, 0.0);
  if (a.d_e) std::fill_n(a.d_e, a.V * a.C, 0.0);
  for (int64_t n = 0; n < a.N; ++n) {
    int64_t best = 0;
    for (int64_t v = 1; v < a.V; ++v) {
      if (logit(a, n, v) > logit(a, n, best)) best = v;
    }
    const double top = logit(a, n, best);
    double sum = 0;
    for (int64_t v = 0; v < a.V; ++v) sum += std::exp(logit(a, n, v) - top);
    a.nll[n] = std::log(sum) + top - logit(a, n, a.labels[n]);
    if (a.best) a.best[n] = best;
    if (a.d_x) add_gradients(a, n, top, sum);
  }
}

}  // namespace rebased::kernels::reference
