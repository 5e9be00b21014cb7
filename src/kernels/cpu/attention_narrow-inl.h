// Pairs of queries and keys with few values, outputs over time: weights stay in registers from the score to the sums;
// compiled once for each instruction set.
#if defined(REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_
#undef REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_
#else
#define REBASED_KERNELS_CPU_ATTENTION_NARROW_INL_H_
#endif

#include "kernels/cpu/attention_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

// a + s (b + c s) of kKeys scores by kVecs vectors of queries; 0 where a query precedes its key. The first query is
// `lead` tokens past the first key.
template <int kKeys, int kVecs>
HWY_INLINE void weigh_tile(const Problem& x, int64_t lead, Vec (&tile)[kKeys][kVecs]) {
  const Lanes d;
  const Vec a = hn::Set(d, x.a), b = hn::Set(d, x.b), c = hn::Set(d, x.c);
  const bool masked = lead < kKeys - 1;
  HWY_UNROLL(8)
  for (int j = 0; j < kKeys; ++j) {
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) {
      const Vec s = tile[j][n];
      tile[j][n] = hn::MulAdd(hn::MulAdd(c, s, b), s, a);
      if (!masked) continue;
      const Vec past = hn::Iota(d, static_cast<float>(lead + n * kLanes - j));
      tile[j][n] = hn::IfThenElseZero(hn::Ge(past, hn::Zero(d)), tile[j][n]);
    }
  }
}

// What kKeys keys add to num and den of kVecs vectors of queries from `first` on.
template <int kKeys, int kVecs>
HWY_INLINE void attend_narrow_tile(const Problem& x, const Plan& plan, const float* keys, const float* values,
                                   int64_t first, int64_t lead, const Workspace& w) {
  const Lanes d;
  Vec weight[kKeys][kVecs];
  HWY_UNROLL(8)
  for (int j = 0; j < kKeys; ++j) {
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) weight[j][n] = hn::Zero(d);
  }
  add_product<kKeys, kVecs, false>(x.Dk, keys, plan.key_ld, w.q_t + first, plan.ld, weight);
  weigh_tile<kKeys, kVecs>(x, lead, weight);
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

// Keys [0, n_keys) of the tile at `slot` against all packed queries; on the diagonal both are the same tokens.
HWY_NOINLINE void attend_narrow(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot,
                                bool diagonal, const Workspace& w) {
  const int64_t columns = padded(queries), block = diagonal ? kPad : n_keys;
  for (int64_t begin = 0; begin < n_keys; begin += block) {
    const int64_t first = diagonal ? begin : 0;
    for_panels(columns - first, [&](auto vectors, int64_t n) {
      for_row_tiles<vectors>(std::min(block, n_keys - begin), [&](auto count, int64_t m) {
        const int64_t key = begin + m, lead = diagonal ? first + n - key : kTile;
        attend_narrow_tile<count, vectors>(x, plan, w.k + (slot + key) * plan.key_ld,
                                           w.values + (slot + key) * w.values_ld, first + n, lead, w);
      });
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
