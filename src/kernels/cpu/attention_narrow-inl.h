// Pairs of queries and keys with few values, outputs over time: weights stay in registers from the score to the sums;
// compiled once for each instruction set.
#if defined(REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_
#undef REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_
#else
#define REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_
#endif

#include <algorithm>

#include "kernels/cpu/attention_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

// The first packed query that sees the key at `slot`, which the last one does, rounded down to whole vectors.
inline int64_t first_to_see(const Workspace& w, int64_t queries, int64_t slot) {
  return (std::lower_bound(w.tokens, w.tokens + queries, static_cast<float>(slot)) - w.tokens) / kPad * kPad;
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
    const int64_t first = diagonal ? first_to_see(w, queries, slot + begin) : 0;
    for_panels(columns - first, [&](auto vectors, int64_t n) {
      for_row_tiles<vectors>(std::min(block, n_keys - begin), [&](auto count, int64_t m) {
        attend_narrow_tile<count, vectors>(x, plan, slot + begin + m, first + n, diagonal, w);
      });
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
