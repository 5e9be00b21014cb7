// Token by token through the state, which is read and written once a token; compiled once for each instruction set.
#if defined(REBASED_KERNELS_ATTENTION_RECURRENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_ATTENTION_RECURRENT_INL_H_
#undef REBASED_KERNELS_ATTENTION_RECURRENT_INL_H_
#else
#define REBASED_KERNELS_ATTENTION_RECURRENT_INL_H_
#endif

#include <utility>

#include "kernels/causal/forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

// phi[F] of one token, whose values are multiplied by `factor` first.
inline void token_features(const Problem& problem, const float* x, float factor, Coefficients coefficients,
                           float* phi) {
  if (problem.constant) *phi++ = coefficients.a;
  for (int64_t i = 0; problem.linear && i < problem.Dk; ++i) *phi++ = coefficients.b * factor * x[i];
  if (!problem.quadratic) return;
  const float c = coefficients.c * factor * factor, root = c * std::numbers::sqrt2_v<float>;
  for (int64_t i = 0; i < problem.Dk; ++i) *phi++ = c * x[i] * x[i];
  for (int64_t i = 0; i < problem.Dk; ++i) {
    const float scaled = root * x[i];
    for (int64_t j = i + 1; j < problem.Dk; ++j) *phi++ = scaled * x[j];
  }
}

// The token's similarity to itself, from the score: through the features it would be a difference of large terms where
// the score is small, and it is all there is at the first token.
inline float self_similarity(const Problem& problem, const float* q, const float* k) {
  float dot = 0;
  for (int64_t i = 0; i < problem.Dk; ++i) dot += q[i] * k[i];
  const Coefficients c = query_coefficients(problem);
  const float score = problem.scale * dot;
  return (problem.constant ? c.a : 0) + (problem.linear ? c.b * score : 0) +
         (problem.quadratic ? c.c * score * score : 0);
}

// o[e] = factor * (self v[e] + sum_f phi_q[f] from[f, e]), to[f, e] = from[f, e] + phi_k[f] v[e], for kVecs vectors of
// columns.
template <int kVecs>
inline void step_columns(int64_t F, int64_t Dv, const float* phi_q, const float* phi_k, const float* v,
                         const float* from, float* to, float self, float factor, float* o) {
  const Lanes d;
  Vec value[kVecs], sum[kVecs];
  HWY_UNROLL(4)
  for (int n = 0; n < kVecs; ++n) {
    value[n] = hn::LoadU(d, v + n * kLanes);
    sum[n] = hn::Mul(hn::Set(d, self), value[n]);
  }
  for (int64_t f = 0; f < F; ++f, from += Dv, to += Dv) {
    const Vec key = hn::Set(d, phi_k[f]), query = hn::Set(d, phi_q[f]);
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) {
      const Vec before = hn::LoadU(d, from + n * kLanes);
      hn::StoreU(hn::MulAdd(key, value[n], before), d, to + n * kLanes);
      sum[n] = hn::MulAdd(query, before, sum[n]);
    }
  }
  HWY_UNROLL(4)
  for (int n = 0; n < kVecs; ++n) hn::StoreU(hn::Mul(hn::Set(d, factor), sum[n]), d, o + n * kLanes);
}

// The same for fewer columns than a vector has lanes.
template <int kColumns>
inline void step_tail(int64_t F, int64_t Dv, const float* phi_q, const float* phi_k, const float* v, const float* from,
                      float* to, float self, float factor, float* o) {
  float value[kColumns], sum[kColumns];
  for (int e = 0; e < kColumns; ++e) {
    value[e] = v[e];
    sum[e] = self * v[e];
  }
  for (int64_t f = 0; f < F; ++f, from += Dv, to += Dv) {
    const float key = phi_k[f], query = phi_q[f];
    HWY_UNROLL(16)
    for (int e = 0; e < kColumns; ++e) {
      const float before = from[e];
      to[e] = before + key * value[e];
      sum[e] += query * before;
    }
  }
  for (int e = 0; e < kColumns; ++e) o[e] = factor * sum[e];
}

template <int... kColumns>
HWY_INLINE void step_tail(std::integer_sequence<int, kColumns...>, int64_t columns, int64_t F, int64_t Dv,
                          const float* phi_q, const float* phi_k, const float* v, const float* from, float* to,
                          float self, float factor, float* o) {
  ((columns == kColumns + 1 ? step_tail<kColumns + 1>(F, Dv, phi_q, phi_k, v, from, to, self, factor, o) : void()),
   ...);
}

// to = from + phi_k; returns phi_q . from.
inline float step_normaliser(int64_t F, const float* phi_q, const float* phi_k, const float* from, float* to) {
  const Lanes d;
  Vec sum = hn::Zero(d);
  int64_t f = 0;
  for (; f + kLanes <= F; f += kLanes) {
    const Vec before = hn::LoadU(d, from + f);
    hn::StoreU(hn::Add(before, hn::LoadU(d, phi_k + f)), d, to + f);
    sum = hn::MulAdd(hn::LoadU(d, phi_q + f), before, sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; f < F; ++f) {
    total += phi_q[f] * from[f];
    to[f] = from[f] + phi_k[f];
  }
  return total;
}

inline void step_values(int64_t F, int64_t Dv, const float* phi_q, const float* phi_k, const float* v,
                        const float* from, float* to, float self, float factor, float* o) {
  int64_t e = 0;
  for (; e + 4 * kLanes <= Dv; e += 4 * kLanes) {
    step_columns<4>(F, Dv, phi_q, phi_k, v + e, from + e, to + e, self, factor, o + e);
  }
  for (; e + kLanes <= Dv; e += kLanes) {
    step_columns<1>(F, Dv, phi_q, phi_k, v + e, from + e, to + e, self, factor, o + e);
  }
  if (e == Dv) return;
  step_tail(std::make_integer_sequence < int, kLanes == 1 ? 1 : kLanes - 1 > (), Dv - e, F, Dv, phi_q, phi_k, v + e,
            from + e, to + e, self, factor, o + e);
}

// All tokens of one (batch, head). The state is advanced in the final one, which may be the initial one.
inline void recurrent_item(const Problem& x, const Item& item, const Workspace& w) {
  const int64_t state = state_at(x, item);
  float* s = x.sT != nullptr ? x.sT + state * x.Dv : w.state;
  float* z = x.sT != nullptr ? x.zT + state : w.state + x.F * x.Dv;
  const float* s_from = x.s0 != nullptr ? x.s0 + state * x.Dv : s;
  const float* z_from = x.s0 != nullptr ? x.z0 + state : z;
  if (x.s0 == nullptr) {
    clear(x.F * x.Dv, s);
    clear(x.F, z);
  }
  float *phi_q = w.phi, *phi_k = w.phi + x.F;
  for (int64_t t = 0; t < x.T; ++t, s_from = s, z_from = z) {
    const int64_t token = token_at(x, item, t);
    token_features(x, x.q + token * x.Dk, x.scale, query_coefficients(x), phi_q);
    token_features(x, x.k + token * x.Dk, 1, {}, phi_k);
    const float self = self_similarity(x, x.q + token * x.Dk, x.k + token * x.Dk);
    const float total = self + step_normaliser(x.F, phi_q, phi_k, z_from, z);
    if (x.z != nullptr) x.z[token] = total;
    step_values(x.F, x.Dv, phi_q, phi_k, x.v + token * x.Dv, s_from, s, self, x.normalize ? 1 / (total + x.eps) : 1,
                x.o + token * x.Dv);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
