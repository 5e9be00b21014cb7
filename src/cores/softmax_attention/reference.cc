#include "cores/softmax_attention/kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cores/dropout/kernel.h"

namespace rebased::kernels::reference {
namespace {

using Args = SoftmaxAttentionArgs<double>;

// Score of slot s for query (b, t, h); minus infinity where it has no weight.
double score(const Args& a, int64_t b, int64_t t, int64_t h, int64_t s) {
  const int64_t query = a.query_pos[b * a.T + t], key = a.key_pos[b * a.S + s];
  const bool visible = key >= 0 && key <= query && key >= first_seen(a, b * a.T + t);
  if (!visible && (key < 0 || !a.additive_mask)) return -std::numeric_limits<double>::infinity();
  const double* q = a.q + ((b * a.T + t) * a.H + h) * a.Dk;
  const double* k = a.k + ((b * a.S + s) * a.Hkv + h / (a.H / a.Hkv)) * a.Dk;
  double sum = 0;
  for (int64_t c = 0; c < a.Dk; ++c) sum += q[c] * k[c];
  return a.scale * sum + (visible ? 0 : -10000);
}

// What dropout multiplies the weight of slot s for query (b, t, h) by.
double kept(const Args& a, int64_t b, int64_t t, int64_t h, int64_t s) {
  if (a.dropout == 0) return 1;
  return dropout_keeps(a.dropout_key, a.dropout, ((b * a.H + h) * a.T + t) * a.S + s) ? 1 / (1 - a.dropout) : 0;
}

void attend(const Args& a, int64_t b, int64_t t, int64_t h) {
  double* o = a.o + ((b * a.T + t) * a.H + h) * a.Dv;
  std::fill_n(o, a.Dv, 0.0);
  double top = -std::numeric_limits<double>::infinity();
  for (int64_t s = 0; s < a.S; ++s) top = std::max(top, score(a, b, t, h, s));
  double* lse = a.lse != nullptr ? &a.lse[(b * a.T + t) * a.H + h] : nullptr;
  if (lse != nullptr) *lse = top;
  if (std::isinf(top)) return;
  double sum = 0;
  for (int64_t s = 0; s < a.S; ++s) sum += std::exp(score(a, b, t, h, s) - top);
  if (lse != nullptr) *lse = top + std::log(sum);
  for (int64_t s = 0; s < a.S; ++s) {
    if (a.key_pos[b * a.S + s] < 0) continue;  // the slot may hold anything
    const double weight = kept(a, b, t, h, s) * std::exp(score(a, b, t, h, s) - top) / sum;
    const double* v = a.v + ((b * a.S + s) * a.Hkv + h / (a.H / a.Hkv)) * a.Dv;
    for (int64_t c = 0; c < a.Dv; ++c) o[c] += weight * v[c];
  }
}

void attend_grad(const SoftmaxAttentionGradArgs<double>& g, int64_t b, int64_t t, int64_t h) {
  const Args& a = g.forward;
  const int64_t row = (b * a.T + t) * a.H + h;
  const double *q = a.q + row * a.Dk, *d_o = g.d_o + row * a.Dv, *o = a.o + row * a.Dv;
  double delta = 0;
  for (int64_t c = 0; c < a.Dv; ++c) delta += d_o[c] * o[c];
  for (int64_t s = 0; s < a.S; ++s) {
    const double value = score(a, b, t, h, s);
    if (std::isinf(value)) continue;
    const int64_t slot = (b * a.S + s) * a.Hkv + h / (a.H / a.Hkv);
    const double *k = a.k + slot * a.Dk, *v = a.v + slot * a.Dv;
    const double weight = std::exp(value - a.lse[row]), keep = kept(a, b, t, h, s);
    double along = 0;
    for (int64_t c = 0; c < a.Dv; ++c) {
      along += keep * d_o[c] * v[c];
      g.dv[slot * a.Dv + c] += keep * weight * d_o[c];
    }
    const double d_score = a.scale * weight * (along - delta);
    for (int64_t c = 0; c < a.Dk; ++c) {
      g.dq[row * a.Dk + c] += d_score * k[c];
      g.dk[slot * a.Dk + c] += d_score * q[c];
    }
  }
}

}  // namespace

void softmax_attention_grad(const SoftmaxAttentionGradArgs<double>& g) noexcept {
  const Args& a = g.forward;
  std::fill_n(g.dq, a.B * a.T * a.H * a.Dk, 0.0);
  std::fill_n(g.dk, a.B * a.S * a.Hkv * a.Dk, 0.0);
  std::fill_n(g.dv, a.B * a.S * a.Hkv * a.Dv, 0.0);
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t t = 0; t < a.T; ++t) {
      for (int64_t h = 0; h < a.H; ++h) attend_grad(g, b, t, h);
    }
  }
}

void softmax_attention(const Args& a) noexcept {
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t t = 0; t < a.T; ++t) {
      for (int64_t h = 0; h < a.H; ++h) attend(a, b, t, h);
    }
  }
}

}  // namespace rebased::kernels::reference
