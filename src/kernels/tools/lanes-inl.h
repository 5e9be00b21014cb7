// Vector helpers shared by the dense kernels; compiled once for each instruction set.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

#if defined(REBASED_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_LANES_INL_H_
#undef REBASED_KERNELS_LANES_INL_H_
#else
#define REBASED_KERNELS_LANES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kMaxLanes = 16;
using Tag = hn::CappedTag<float, kMaxLanes>;
using Vec = hn::Vec<Tag>;
using IntTag = hn::Rebind<int32_t, Tag>;

HWY_INLINE int64_t lane_count() { return static_cast<int64_t>(hn::Lanes(Tag())); }

// The first n < lanes elements, zeros behind them; touches nothing beyond p[n].
HWY_INLINE Vec load_first(Tag d, const float* p, int64_t n) {
#if HWY_TARGET <= HWY_AVX2
  return hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(n)), d, p);
#else
  HWY_ALIGN float buffer[kMaxLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(float));
  return hn::Load(d, buffer);
#endif
}

HWY_INLINE void store_first(Tag d, Vec v, float* p, int64_t n) {
#if HWY_TARGET <= HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(d, static_cast<size_t>(n)), d, p);
#else
  HWY_ALIGN float buffer[kMaxLanes];
  hn::Store(v, d, buffer);
  std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(float));
#endif
}

// How a loop body touches memory: whole vectors, or the rest of a row.
struct Whole {
  HWY_INLINE Vec load(const float* p) const { return hn::LoadU(Tag(), p); }
  HWY_INLINE void store(Vec v, float* p) const { hn::StoreU(v, Tag(), p); }
  HWY_INLINE Vec keep(Vec v) const { return v; }  // zeroes the lanes beyond the end
};
struct Rest {
  int64_t n;
  HWY_INLINE Vec load(const float* p) const { return load_first(Tag(), p, n); }
  HWY_INLINE void store(Vec v, float* p) const { store_first(Tag(), v, p, n); }
  HWY_INLINE Vec keep(Vec v) const { return hn::IfThenElseZero(hn::FirstN(Tag(), static_cast<size_t>(n)), v); }
};

// Calls body(i, access) for each vector of [0, n).
template <class Body>
HWY_INLINE void for_each_vector(int64_t n, const Body& body) {
  const int64_t step = lane_count();
  int64_t i = 0;
  for (; i + step <= n; i += step) body(i, Whole{});
  if (i < n) body(i, Rest{n - i});
}

inline constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;  // 32 instead of 16

HWY_INLINE float sum_lanes(Vec v) { return hn::GetLane(hn::SumOfLanes(Tag(), v)); }

// The sums of the lanes of four vectors, each added up in the same order: two shared rounds of interleaving instead of
// one reduction each.
#if HWY_TARGET == HWY_SCALAR
template <class D>
HWY_INLINE void sums_of_lanes(D d, hn::Vec<D> a, hn::Vec<D> b, hn::Vec<D> c, hn::Vec<D> e, float* sums) {
  hn::StoreU(a, d, sums);
  hn::StoreU(b, d, sums + 1);
  hn::StoreU(c, d, sums + 2);
  hn::StoreU(e, d, sums + 3);
}
#else
template <class D>
HWY_INLINE auto sum_of_blocks(D /*d*/, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) <= 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return sum_of_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

template <class D>
HWY_INLINE void sums_of_lanes(D d, hn::Vec<D> a, hn::Vec<D> b, hn::Vec<D> c, hn::Vec<D> e, float* sums) {
  const hn::Repartition<double, D> wide;
  const auto ab = hn::BitCast(wide, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  const auto ce = hn::BitCast(wide, hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e)));
  const auto low = hn::BitCast(d, hn::InterleaveLower(wide, ab, ce));
  const auto high = hn::BitCast(d, hn::InterleaveUpper(wide, ab, ce));
  const auto blocks = sum_of_blocks(d, hn::Add(low, high));
  hn::StoreU(blocks, hn::CappedTag<float, 4>(), sums);
}
#endif

// The nearest bfloat16 numbers as the upper halves of lanes, zeros below; ties go to even, NaN stays NaN.
HWY_INLINE Vec nearest_bf16(Vec v) {
  const hn::Rebind<uint32_t, Tag> d;
  const auto bits = hn::BitCast(d, v), odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7fff))), quiet = hn::Or(bits, hn::Set(d, 0x400000));
  const auto nearest = hn::IfThenElse(hn::RebindMask(d, hn::IsNaN(v)), quiet, rounded);
  return hn::BitCast(Tag(), hn::And(nearest, hn::Set(d, 0xffff0000)));
}

HWY_INLINE float max_lanes(Vec v) { return hn::GetLane(hn::MaxOfLanes(Tag(), v)); }

inline constexpr float kExpShift = 12582912.0f + 127.0f;  // 1.5 2^23: a sum with it is a whole number

// exp(x) = 2^q exp(r) with |r| <= ln(2)/2: y = exp(r), to 1e-8 before rounding. x within the float range; NaN stays.
// `shifted` is q + kExpShift, whose bits end in q + 127. Several vectors go side by side, since one alone waits for
// each of its operations.
template <int kCount>
HWY_INLINE void exp_reduced(Tag d, const Vec (&x)[kCount], Vec (&y)[kCount], Vec (&shifted)[kCount]) {
  const Vec shift = hn::Set(d, kExpShift), one = hn::Set(d, 1.0f);
  Vec q[kCount], r[kCount];
  for (int i = 0; i < kCount; ++i) shifted[i] = hn::MulAdd(x[i], hn::Set(d, 1.44269504f), shift);
  for (int i = 0; i < kCount; ++i) q[i] = hn::Sub(shifted[i], shift);
  for (int i = 0; i < kCount; ++i) r[i] = hn::NegMulAdd(q[i], hn::Set(d, 0.693145751953125f), x[i]);
  for (int i = 0; i < kCount; ++i) r[i] = hn::NegMulAdd(q[i], hn::Set(d, 1.428606765330187e-6f), r[i]);
  for (int i = 0; i < kCount; ++i) y[i] = hn::MulAdd(r[i], hn::Set(d, 0.001393364518f), hn::Set(d, 0.008363176671f));
  for (int i = 0; i < kCount; ++i) y[i] = hn::MulAdd(y[i], r[i], hn::Set(d, 0.04166646496f));
  for (int i = 0; i < kCount; ++i) y[i] = hn::MulAdd(y[i], r[i], hn::Set(d, 0.16666577f));
  for (int i = 0; i < kCount; ++i) y[i] = hn::MulAdd(y[i], r[i], hn::Set(d, 0.5f));
  for (int i = 0; i < kCount; ++i) y[i] = hn::MulAdd(y[i], r[i], one);
  for (int i = 0; i < kCount; ++i) y[i] = hn::MulAdd(y[i], r[i], one);
}

// exp for x <= 0, zero below `least`, at least -87. NaN stays NaN (hwy's own Exp, and Max on some targets, lose it).
template <int kCount>
HWY_INLINE void exp_above(Tag d, Vec (&x)[kCount], float least) {
  Vec y[kCount], power[kCount];
  exp_reduced(d, x, y, power);
  for (int i = 0; i < kCount; ++i) power[i] = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(IntTag(), power[i])));
  for (int i = 0; i < kCount; ++i) {
    x[i] = hn::IfThenZeroElse(hn::Lt(x[i], hn::Set(d, least)), hn::Mul(y[i], power[i]));
  }
}

// exp for x <= 0, zero below the smallest normal float.
HWY_INLINE Vec exp_nonpositive(Tag d, Vec x) {
  Vec all[] = {x};
  exp_above(d, all, -87.0f);
  return all[0];
}

// By how much a number may exceed the earlier maximum that weights in a running sum stay relative to.
inline constexpr float kTopSlack = 8;

// exp for x <= kTopSlack as a weight in a sum that holds one of at least 1: zero below e^-64 = 2^-92, which it cannot
// see. The weights over sums and numbers of rows thus stay normal floats: subnormal ones take a hundred times as long
// to multiply.
template <int kCount>
HWY_INLINE void exp_weights(Tag d, Vec (&x)[kCount]) {
  exp_above(d, x, -64.0f);
}
HWY_INLINE Vec exp_weight(Tag d, Vec x) {
  Vec all[] = {x};
  exp_weights(d, all);
  return all[0];
}

// exp for any x: infinity above the float range, zero below it, gradual in between, NaN stays NaN.
HWY_INLINE Vec exp_any(Tag d, Vec x) {
  const Vec lowest = hn::Set(d, -105.0f);
  const Vec highest = hn::Set(d, 89.0f);
  x = hn::IfThenElse(hn::Lt(x, lowest), lowest, x);
  x = hn::IfThenElse(hn::Gt(x, highest), highest, x);
  Vec y[1], shifted[1];
  exp_reduced(d, {x}, y, shifted);
  const auto bias = hn::Set(IntTag(), 127);
  const auto q = hn::Sub(hn::BitCast(IntTag(), shifted[0]), hn::BitCast(IntTag(), hn::Set(d, kExpShift)));
  const auto half = hn::ShiftRight<1>(q);
  const Vec low = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const Vec high = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(q, half), bias)));
  return hn::Mul(hn::Mul(y[0], low), high);
}

HWY_INLINE Vec sigmoid(Tag d, Vec x) {
  const Vec one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp_any(d, hn::Neg(x))));
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_LANES_INL_H_
