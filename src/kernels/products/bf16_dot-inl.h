// Products of a few rows of x with rows of bfloat16 weights as they lie; compiled once for each instruction set.

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/products/bf16_lanes-inl.h"
#include "kernels/products/linear_tile-inl.h"

#if defined(REBASED_KERNELS_BF16_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_BF16_DOT_INL_H_
#undef REBASED_KERNELS_BF16_DOT_INL_H_
#else
#define REBASED_KERNELS_BF16_DOT_INL_H_
#endif

#if HWY_TARGET <= HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16 {

inline constexpr int64_t kVectorNumbers = 2 * kMaxLanes;

HWY_INLINE Pairs load_numbers(const uint16_t* p) {
  return hn::BitCast(PairTag(), hn::LoadU(hn::Repartition<uint16_t, PairTag>(), p));
}
HWY_INLINE Pairs load_first_numbers(const uint16_t* p, int64_t n) {
  const hn::Repartition<uint16_t, PairTag> d;
  return hn::BitCast(PairTag(), hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(n)), d, p));
}

// As linear_tile takes rows: of weights, and of x rounded, with zeros behind them.
struct PairRows {
  using Number = uint16_t;
  using Input = uint16_t;
  using Vector = Pairs;
  int64_t I;
  int64_t ldx() const { return round_up(I, kVectorNumbers); }
  static HWY_INLINE Vec add(Pairs input, Pairs weight, Vec sum) { return add_products(input, weight, sum); }

  template <int kNext, class Body>
  HWY_INLINE void for_each_vector(const uint16_t* x, const uint16_t* w, const uint16_t* next, const Body& body) const {
    const int64_t stride = ldx();
    int64_t i = 0;
    const auto input = [&](int64_t r) HWY_ATTR { return load_numbers(x + r * stride + i); };
    for (; i + kVectorNumbers <= I; i += kVectorNumbers) {
      linear_tile::fetch_lines<kNext>(next + i, I);
      body([&](int64_t k) HWY_ATTR { return load_numbers(w + k * I + i); }, input);
    }
    if (i < I) body([&](int64_t k) HWY_ATTR { return load_first_numbers(w + k * I + i, I - i); }, input);
  }
};

// x [I] -> its numbers rounded, zeros behind them up to a whole vector.
HWY_INLINE void round_row(int64_t I, const float* x, uint32_t* rounded) {
  const auto load = [&](int64_t i) HWY_ATTR {
    if (i + kMaxLanes <= I) return hn::LoadU(Tag(), x + i);
    return i < I ? load_first(Tag(), x + i, I - i) : hn::Zero(Tag());
  };
  for (int64_t i = 0; i < I; i += kVectorNumbers) {
    hn::StoreU(round_two(load(i), load(i + kMaxLanes)), PairTag(), rounded + i / 2);
  }
}

// Outputs [begin, end) of one row, one after the other, so that the weights are one stream of memory, read by one load:
// see dot_row of linear.cc.
HWY_INLINE void stream_row(PairRows rows, const uint16_t* x, const uint16_t* w, const float* bias, float* y,
                           int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end; ++o) {
    const uint16_t* row = w + o * rows.I;
    Vec sum = hn::Zero(Tag());
    int64_t i = 0;
#pragma GCC unroll 1
    for (; i + kVectorNumbers <= rows.I; i += kVectorNumbers) {
      sum = add_products(load_numbers(x + i), load_numbers(row + i), sum);
    }
    if (i < rows.I) sum = add_products(load_numbers(x + i), load_first_numbers(row + i, rows.I - i), sum);
    y[o] = sum_lanes(sum) + (bias ? bias[o] : 0.0f);
  }
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16
HWY_AFTER_NAMESPACE();
#endif

#endif  // REBASED_KERNELS_BF16_DOT_INL_H_
