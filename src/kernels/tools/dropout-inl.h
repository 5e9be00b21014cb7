// Which elements dropout keeps; compiled once for each instruction set.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/rng.h"
#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_KERNELS_DROPOUT
#define REBASED_KERNELS_DROPOUT
namespace rebased::kernels::cpu {

// The hash is a permutation of 32-bit counters: one key for each stretch of so many elements.
inline constexpr int64_t kDropoutStretch = int64_t{1} << 32;

struct Dropout {
  uint64_t key;
  uint32_t threshold;  // of 2^24: an element is kept when its hash's upper 24 bits reach it
  float scale;

  Dropout(uint64_t dropout_key, double p)
      : key(dropout_key),
        threshold(static_cast<uint32_t>(std::lround(std::clamp(p, 0.0, 1.0) * 0x1p24))),
        scale(p < 1 ? static_cast<float>(1 / (1 - p)) : 0.0f) {}
};

}  // namespace rebased::kernels::cpu
#endif

#if defined(REBASED_KERNELS_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_DROPOUT_INL_H_
#undef REBASED_KERNELS_DROPOUT_INL_H_
#else
#define REBASED_KERNELS_DROPOUT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

// Elements [first, first + n) of one stretch, whose mixed key this is.
HWY_INLINE void drop_in_stretch(const Dropout& a, uint64_t mixed, uint32_t first, int64_t n, const float* x, float* y) {
  const Tag d;
  const hn::Rebind<uint32_t, Tag> du;
  const IntTag di;
  const auto low = hn::Set(du, static_cast<uint32_t>(mixed));
  const auto high = hn::Set(du, static_cast<uint32_t>(mixed >> 32));
  const auto threshold = hn::Set(di, static_cast<int32_t>(a.threshold));
  const Vec scale = hn::Set(d, a.scale);
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR {
    auto h = hn::Xor(hn::Iota(du, first + static_cast<uint32_t>(i)), low);
    h = hn::Mul(hn::Xor(h, hn::ShiftRight<16>(h)), hn::Set(du, 0x7feb352dU));
    h = hn::Mul(hn::Xor(h, hn::ShiftRight<15>(h)), hn::Set(du, 0x846ca68bU));
    h = hn::Add(hn::Xor(h, hn::ShiftRight<16>(h)), high);
    h = hn::Mul(hn::Xor(h, hn::ShiftRight<16>(h)), hn::Set(du, 0x7feb352dU));
    const auto bits = hn::BitCast(di, hn::ShiftRight<8>(hn::Xor(h, hn::ShiftRight<15>(h))));
    const auto dropped = hn::RebindMask(d, hn::Lt(bits, threshold));
    at.store(hn::IfThenZeroElse(dropped, hn::Mul(at.load(x + i), scale)), y + i);
  });
}

// Elements [first, first + n) of an array: x and y point at the first of them.
HWY_INLINE void drop(const Dropout& a, int64_t first, int64_t n, const float* x, float* y) {
  while (n > 0) {
    const int64_t stretch = first / kDropoutStretch, at = first % kDropoutStretch;
    const int64_t count = std::min(n, kDropoutStretch - at);
    const uint64_t mixed = mix64(a.key ^ mix64(static_cast<uint64_t>(stretch)));
    drop_in_stretch(a, mixed, static_cast<uint32_t>(at), count, x, y);
    first += count, n -= count, x += count, y += count;
  }
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_DROPOUT_INL_H_
