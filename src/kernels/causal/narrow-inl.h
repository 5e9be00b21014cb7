// Pairs of queries and keys with few values: weights stay in registers from the score to the sums. Forward a vector
// holds queries and outputs lie over time; in the gradient it holds keys; compiled once for each instruction set.
#if defined(REBASED_KERNELS_ATTENTION_NARROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_ATTENTION_NARROW_INL_H_
#undef REBASED_KERNELS_ATTENTION_NARROW_INL_H_
#else
#define REBASED_KERNELS_ATTENTION_NARROW_INL_H_
#endif

#include <algorithm>

#include "kernels/causal/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

// The first packed query that sees the key at `slot`, which the last one does, rounded down to a multiple of `step`.
inline int64_t first_to_see(const Workspace& w, int64_t queries, int64_t slot, int64_t step) {
  return (std::lower_bound(w.tokens, w.tokens + queries, static_cast<float>(slot)) - w.tokens) / step * step;
}

// How many of n_keys keys from `slot` on a packed query sees.
inline int64_t keys_seen(const Workspace& w, int64_t query, int64_t slot, int64_t n_keys) {
  return std::clamp<int64_t>(static_cast<int64_t>(w.tokens[query]) + 1 - slot, 0, n_keys);
}

// a + s (b + c s) of the scores of kKeys keys from slot `key` on by kVecs vectors of queries, which are `tokens`; 0
// where a query precedes its key.
template <int kKeys, int kVecs>
HWY_INLINE void weigh_tile(const Problem& x, const float* tokens, int64_t key, bool diagonal,
                           Vec (&tile)[kKeys][kVecs]) {
  const Lanes d;
  const Vec a = hn::Set(d, x.a), b = hn::Set(d, x.b), c = hn::Set(d, x.c);
  const bool masked = diagonal && tokens[0] < static_cast<float>(key + kKeys - 1);
  HWY_UNROLL(8)
  for (int j = 0; j < kKeys; ++j) {
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) {
      const Vec s = tile[j][n];
      tile[j][n] = hn::MulAdd(hn::MulAdd(c, s, b), s, a);
      if (!masked) continue;
      const auto seen = hn::Ge(hn::LoadU(d, tokens + n * kLanes), hn::Set(d, static_cast<float>(key + j)));
      tile[j][n] = hn::IfThenElseZero(seen, tile[j][n]);
    }
  }
}

// What kKeys keys from slot `key` on add to num and den of kVecs vectors of queries from `first` on.
template <int kKeys, int kVecs>
HWY_INLINE void attend_narrow_tile(const Problem& x, const Plan& plan, int64_t key, int64_t first, bool diagonal,
                                   const Workspace& w) {
  const Lanes d;
  const float* values = w.values + key * w.values_ld;
  Vec weight[kKeys][kVecs];
  HWY_UNROLL(8)
  for (int j = 0; j < kKeys; ++j) {
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) weight[j][n] = hn::Zero(d);
  }
  add_product<kKeys, kVecs, false>(x.Dk, w.k + key * plan.key_ld, plan.key_ld, w.q_t + first, plan.ld, weight);
  weigh_tile<kKeys, kVecs>(x, w.tokens + first, key, diagonal, weight);
  HWY_UNROLL(4)
  for (int n = 0; n < kVecs; ++n) {
    float* at = w.den + first + n * kLanes;
    Vec sum = hn::LoadU(d, at);
    HWY_UNROLL(8)
    for (int j = 0; j < kKeys; ++j) sum = hn::Add(sum, weight[j][n]);
    hn::StoreU(sum, d, at);
  }
  for (int64_t e = 0; e < x.Dv; ++e) {
    float* at = w.num + e * plan.ld + first;
    Vec sum[kVecs];
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) sum[n] = hn::LoadU(d, at + n * kLanes);
    HWY_UNROLL(8)
    for (int j = 0; j < kKeys; ++j) {
      const Vec value = hn::Set(d, values[j * w.values_ld + e]);
      HWY_UNROLL(4)
      for (int n = 0; n < kVecs; ++n) sum[n] = hn::MulAdd(value, weight[j][n], sum[n]);
    }
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) hn::StoreU(sum[n], d, at + n * kLanes);
  }
}

// Keys [0, n_keys) of the tile at `slot` against all packed queries; on the diagonal, not every query sees every key.
HWY_NOINLINE void attend_narrow(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot,
                                bool diagonal, const Workspace& w) {
  const int64_t columns = padded(queries), block = diagonal ? kPad : n_keys;
  for (int64_t begin = 0; begin < n_keys; begin += block) {
    const int64_t first = diagonal ? first_to_see(w, queries, slot + begin, kPad) : 0;
    for_panels(columns - first, [&](auto vectors, int64_t n) {
      for_row_tiles<vectors>(std::min(block, n_keys - begin), [&](auto count, int64_t m) {
        attend_narrow_tile<count, vectors>(x, plan, slot + begin + m, first + n, diagonal, w);
      });
    });
  }
}

constexpr int kGradQueries = 8;                     // of a tile of the gradient
constexpr int64_t kNarrowLd = padded(kNarrow + 1);  // value_ld of every narrow plan

// Scores and dA of a tile, keys from `slot` on in the lanes, to weights and slopes W; both 0 where a query, of which
// `tokens` are the numbers, precedes its key.
HWY_INLINE void slope_tile(const Problem& x, const float* tokens, int64_t slot, bool diagonal,
                           Vec (&weight)[kGradQueries][1], Vec (&slope)[kGradQueries]) {
  const Lanes d;
  const Vec a = hn::Set(d, x.a), b = hn::Set(d, x.b), c = hn::Set(d, x.c);
  const Vec keys = hn::Iota(d, static_cast<float>(slot));
  const bool masked = diagonal && tokens[0] < static_cast<float>(slot + kLanes - 1);
  HWY_UNROLL(8)
  for (int i = 0; i < kGradQueries; ++i) {
    const Vec s = weight[i][0], cs = hn::Mul(c, s);
    weight[i][0] = hn::MulAdd(hn::Add(cs, b), s, a);
    slope[i] = hn::Mul(hn::Add(hn::Add(cs, cs), b), slope[i]);
    if (!masked) continue;
    const auto seen = hn::Le(keys, hn::Set(d, tokens[i]));
    weight[i][0] = hn::IfThenElseZero(seen, weight[i][0]);
    slope[i] = hn::IfThenElseZero(seen, slope[i]);
  }
}

// sum[r, lanes] += factors[i, r]^T rows[i]: what the tile's queries add to n rows over time of the keys' gradients.
HWY_INLINE void add_to_keys(int64_t n, const float* HWY_RESTRICT factors, int64_t step, const Vec (&rows)[kGradQueries],
                            float* HWY_RESTRICT sum, int64_t ld) {
  const Lanes d;
  for (int64_t r = 0; r < n; ++r, sum += ld) {
    Vec even = hn::LoadU(d, sum), odd = hn::Zero(d);
    HWY_UNROLL(4)
    for (int i = 0; i < kGradQueries; i += 2) {
      even = hn::MulAdd(hn::Set(d, factors[i * step + r]), rows[i], even);
      odd = hn::MulAdd(hn::Set(d, factors[(i + 1) * step + r]), rows[i + 1], odd);
    }
    hn::StoreU(hn::Add(even, odd), d, sum);
  }
}

// dA of a tile from the differences v - o, where g.v and g.o would cancel.
HWY_INLINE void weight_grad_tile(int64_t Dv, const float* HWY_RESTRICT g, const float* HWY_RESTRICT o,
                                 const float* HWY_RESTRICT values_t, int64_t ld, Vec (&slope)[kGradQueries]) {
  const Lanes d;
  HWY_UNROLL(8)
  for (int i = 0; i < kGradQueries; ++i) slope[i] = hn::Zero(d);
  for (int64_t e = 0; e < Dv; ++e, values_t += ld) {
    const Vec value = hn::LoadU(d, values_t);
    HWY_UNROLL(8)
    for (int i = 0; i < kGradQueries; ++i) {
      const Vec above = hn::Sub(value, hn::Set(d, o[i * kNarrowLd + e]));
      slope[i] = hn::MulAdd(hn::Set(d, g[i * kNarrowLd + e]), above, slope[i]);
    }
  }
}

// Gradients of kGradQueries packed queries from `query` on and of one vector of keys at `slot`. kDk: Dk, 0 for any.
template <int64_t kDk>
HWY_INLINE void narrow_grad_tile(const Problem& x, const Plan& plan, int64_t query, int64_t slot, bool diagonal,
                                 const Workspace& w) {
  const Lanes d;
  const int64_t Dk = kDk == 0 ? x.Dk : kDk, key_ld = kDk == 0 ? plan.key_ld : padded(kDk);
  const float* q = w.q + query * key_ld;
  const float* g = w.g + query * kNarrowLd;
  Vec weight[kGradQueries][1], slope[kGradQueries];
  weight_grad_tile(x.Dv, g, w.o + query * kNarrowLd, w.values_t + slot, plan.keys, slope);
  HWY_UNROLL(8)
  for (int i = 0; i < kGradQueries; ++i) weight[i][0] = hn::Zero(d);
  add_product<kGradQueries, 1, false>(Dk, q, key_ld, w.keys_t + slot, plan.keys, weight);
  slope_tile(x, w.tokens + query, slot, diagonal, weight, slope);
  Vec weights[kGradQueries];
  HWY_ALIGN float slopes[kGradQueries * kLanes];
  HWY_UNROLL(8)
  for (int i = 0; i < kGradQueries; ++i) {
    weights[i] = weight[i][0];
    hn::Store(slope[i], d, slopes + i * kLanes);
  }
  add_to_keys(x.Dv, g, kNarrowLd, weights, w.dv + slot, plan.keys);
  add_to_keys(Dk, q, key_ld, slope, w.dk + slot, plan.keys);
  for (int64_t n = 0; n < key_ld; n += kLanes) {
    product_tile<kGradQueries, 1, false, true>(kLanes, slopes, kLanes, w.k + slot * key_ld + n, key_ld,
                                               w.dq + query * key_ld + n, key_ld, w.lines);
  }
}

template <int64_t kDk>
HWY_INLINE void narrow_grad_tiles(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot,
                                  bool diagonal, const Workspace& w) {
  for (int64_t key = 0; key < padded(n_keys); key += kLanes) {
    for (int64_t i = diagonal ? first_to_see(w, queries, slot + key, kGradQueries) : 0; i < queries;
         i += kGradQueries) {
      narrow_grad_tile<kDk>(x, plan, i, slot + key, diagonal, w);
    }
  }
}

// Gradients of all packed queries and of keys [0, n_keys) of the tile at `slot`.
HWY_NOINLINE void narrow_grad(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot,
                              bool diagonal, const Workspace& w) {
  if (x.Dk == kPad) return narrow_grad_tiles<kPad>(x, plan, queries, n_keys, slot, diagonal, w);
  narrow_grad_tiles<0>(x, plan, queries, n_keys, slot, diagonal, w);
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
