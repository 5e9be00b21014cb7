#include "kernels/softmax_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rebased::kernels::reference {
namespace {

using Args = SoftmaxAttentionArgs<double>;

// Score of slot s for query (b, t, h); minus infinity where it has no weight.
double score(const Args& a, int64_t b, int64_t t, int64_t h, int64_t s) {
  const int64_t query = a.query_pos[b * a.T + t], key = a.key_pos[b * a.S + s];
  const bool visible = key >= 0 && key <= query && (a.window <= 0 || key > query - a.window);
  if (!visible && (key < 0 || !a.additive_mask)) return -std::numeric_limits<double>::infinity();
  const double* q = a.q + ((b * a.T + t) * a.H + h) * a.Dk;
  const double* k = a.k + ((b * a.S + s) * a.Hkv + h / (a.H / a.Hkv)) * a.Dk;
  double sum = 0;
  for (int64_t c = 0; c < a.Dk; ++c) sum += q[c] * k[c];
  return a.scale * sum + (visible ? 0 : -10000);
}

void attend(const Args& a, int64_t b, int64_t t, int64_t h) {
  double* o = a.o + ((b * a.T + t) * a.H + h) * a.Dv;
  std::fill_n(o, a.Dv, 0.0);
  double top = -std::numeric_limits<double>::infinity();
  for (int64_t s = 0; s < a.S; ++s) top = std::max(top, score(a, b, t, h, s));
  if (std::isinf(top)) return;
  double sum = 0;
  for (int64_t s = 0; s < a.S; ++s) sum += std::exp(score(a, b, t, h, s) - top);
  for (int64_t s = 0; s < a.S; ++s) {
    if (a.key_pos[b * a.S + s] < 0) continue;  // the slot may hold anything
    const double weight = std::exp(score(a, b, t, h, s) - top) / sum;
    const double* v = a.v + ((b * a.S + s) * a.Hkv + h / (a.H / a.Hkv)) * a.Dv;
    for (int64_t c = 0; c < a.Dv; ++c) o[c] += weight * v[c];
  }
}

}  // namespace

void softmax_attention(const Args& a) noexcept {
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t t = 0; t < a.T; ++t) {
      for (int64_t h = 0; h < a.H; ++h) attend(a, b, t, h);
    }
  }
}

}  // namespace rebased::kernels::reference
