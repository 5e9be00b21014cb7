// Hides from rows of scores what the rows do not see; compiled once for each instruction set.

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cores/softmax_attention/rows.h"
#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#if defined(REBASED_CORES_SOFTMAX_MASK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_CORES_SOFTMAX_MASK_INL_H_
#undef REBASED_CORES_SOFTMAX_MASK_INL_H_
#else
#define REBASED_CORES_SOFTMAX_MASK_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

inline constexpr int32_t kHole = std::numeric_limits<int32_t>::max();

// Positions from a block's earliest on, in 32 bits; those too far away for them stay far away.
inline int32_t nearby(int64_t position, int64_t earliest) {
  constexpr int64_t kFar = int64_t{1} << 30;
  return static_cast<int32_t>(std::clamp(position - earliest, -kFar, kFar));
}

// Keys in (oldest, newest] keep their scores, others get minus infinity or, where `additive` and held, a far lower one.
HWY_INLINE void mask_row(float* scores, const int32_t* keys, int32_t oldest, int32_t newest, bool additive) {
  const Tag d;
  const IntTag di;
  const auto above = hn::Set(di, oldest), last = hn::Set(di, newest), hole = hn::Set(di, kHole);
  const Vec none = hn::Set(d, softmax::kNone), mask = hn::Set(d, -10000.0f);
  for (int64_t s = 0; s < softmax::kKeys; s += lane_count()) {
    const auto key = hn::LoadU(di, keys + s);
    const Vec score = hn::LoadU(d, scores + s);
    Vec hidden = none;
    if (additive) hidden = hn::IfThenElse(hn::RebindMask(d, hn::Eq(key, hole)), none, hn::Add(score, mask));
    const auto seen = hn::AndNot(hn::Gt(key, last), hn::Gt(key, above));
    hn::StoreU(hn::IfThenElse(hn::RebindMask(d, seen), score, hidden), d, scores + s);
  }
}

// scores [count of rows, kKeys] of a step's slots, and of none behind them.
inline void mask_slots(const softmax::Args& a, const softmax::Rows& rows, float* scores, const softmax::Slots& slots) {
  HWY_ALIGN int32_t keys[softmax::kKeys];
  std::fill(keys + slots.count, keys + softmax::kKeys, kHole);
  for (int64_t s = 0; s < slots.count; ++s) {
    keys[s] = slots.positions[s] < 0 ? kHole : nearby(slots.positions[s], rows.earliest);
  }
  softmax::for_each_row(a, rows, [&](int64_t i, int64_t query, int64_t) HWY_ATTR {
    const int64_t first = first_seen(a, query);
    const int32_t oldest = first > 0 ? nearby(first - 1, rows.earliest) : std::numeric_limits<int32_t>::min();
    mask_row(scores + i * softmax::kKeys, keys, oldest, nearby(a.query_pos[query], rows.earliest), a.additive_mask);
  });
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_CORES_SOFTMAX_MASK_INL_H_
