// Products of a few rows with rows of weights, sums kept in registers; compiled once for each instruction set.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/products/linear_plan.h"
#include "kernels/tools/lanes-inl.h"

#if defined(REBASED_KERNELS_LINEAR_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_LINEAR_TILE_INL_H_
#undef REBASED_KERNELS_LINEAR_TILE_INL_H_
#else
#define REBASED_KERNELS_LINEAR_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::linear_tile {

using namespace lanes;  // NOLINT

// Rows of x and of weights, I numbers each. for_each_vector calls body(weight, input): weight(k) is a vector of row k
// from w on, input(r) the vector of row r from x on that it meets, and add() what they add to the sums. Meanwhile it
// fetches kNext rows from `next` on.

template <int kNext, class Number>
HWY_INLINE void fetch_lines(const Number* next, int64_t I) {
  for (int k = 0; k < kNext; ++k) hwy::Prefetch(next + k * I);
}

struct FloatRows {
  using Number = float;
  using Input = float;
  using Vector = Vec;
  int64_t I;
  int64_t ldx() const { return I; }
  static HWY_INLINE Vec add(Vec input, Vec weight, Vec sum) { return hn::MulAdd(input, weight, sum); }

  template <int kNext, class Body>
  HWY_INLINE void for_each_vector(const float* x, const float* w, const float* next, const Body& body) const {
    lanes::for_each_vector(I, [&](int64_t i, auto at) HWY_ATTR {
      fetch_lines<kNext>(next + i, I);
      body([&](int64_t k) HWY_ATTR { return at.load(w + k * I + i); },
           [&](int64_t r) HWY_ATTR { return at.load(x + r * I + i); });
    });
  }
};

// A bfloat16 is the upper half of a float: of two vectors of weights one is those in even places, which a shift widens,
// one those in odd places, where the others are masked off. x lies in that order.
struct Bfloat16Rows {
  using Number = uint16_t;
  using Input = float;
  using Vector = Vec;
  int64_t I;
  int64_t ldx() const { return round_up(I, kOrdered); }
  static HWY_INLINE Vec add(Vec input, Vec weight, Vec sum) { return hn::MulAdd(input, weight, sum); }

  template <int kNext, class Body>
  HWY_INLINE void for_each_vector(const float* x, const uint16_t* w, const uint16_t* next, const Body& body) const {
    const int64_t pair = 2 * lane_count();
    int64_t i = 0;
    for (; i + pair <= I; i += pair) {
      fetch_lines<kNext>(next + i, I);
      both(
          x + i, [&](int64_t k) HWY_ATTR { return load_pair(w + k * I + i); }, body);
    }
    if (i < I)
      both(
          x + i, [&](int64_t k) HWY_ATTR { return load_rest(w + k * I + i, I - i); }, body);
  }

  // x [N, I] -> ordered [N, ldx()], zeros behind the rows.
  void order(int64_t N, const float* x, float* ordered) const {
    for (int64_t n = 0; n < N; ++n) order_row(x + n * I, ordered + n * ldx());
  }

 private:
  using Pairs = hn::Vec<hn::Rebind<uint32_t, Tag>>;

  template <class Load, class Body>
  HWY_INLINE void both(const float* x, const Load& load, const Body& body) const {
    const hn::Rebind<uint32_t, Tag> d;
    const int64_t stride = ldx();
    body([&](int64_t k) HWY_ATTR { return hn::BitCast(Tag(), hn::ShiftLeft<16>(load(k))); },
         [&](int64_t r) HWY_ATTR { return hn::LoadU(Tag(), x + r * stride); });
    body([&](int64_t k) HWY_ATTR { return hn::BitCast(Tag(), hn::And(load(k), hn::Set(d, 0xffff0000))); },
         [&](int64_t r) HWY_ATTR { return hn::LoadU(Tag(), x + r * stride + lane_count()); });
  }

  static HWY_INLINE Pairs load_pair(const uint16_t* w) {
#if HWY_TARGET == HWY_SCALAR
    return load_rest(w, 2);
#else
    return hn::LoadU(hn::Rebind<uint32_t, Tag>(), reinterpret_cast<const uint32_t*>(w));
#endif
  }
  static HWY_INLINE Pairs load_rest(const uint16_t* w, int64_t n) {
    HWY_ALIGN uint32_t buffer[kMaxLanes] = {};
    std::memcpy(buffer, w, static_cast<size_t>(n) * sizeof(uint16_t));
    return hn::Load(hn::Rebind<uint32_t, Tag>(), buffer);
  }

  void order_row(const float* x, float* ordered) const {
    const Tag d;
    const int64_t L = lane_count();
    int64_t i = 0;
    for (; i + 2 * L <= I; i += 2 * L) {
      Vec even, odd;
      hn::LoadInterleaved2(d, x + i, even, odd);
      hn::StoreU(even, d, ordered + i);
      hn::StoreU(odd, d, ordered + i + L);
    }
    std::fill(ordered + i, ordered + ldx(), 0.0f);
    for (int64_t k = 0; i + k < I; ++k) ordered[i + k / 2 + k % 2 * L] = x[i + k];
  }
};

// Rows of x in the order that Rows takes; w: the rows of some outputs; y, bias: those outputs' places, rows of y O
// apart.
template <class Rows>
struct Tile {
  int64_t N, O;
  Rows rows;
  const typename Rows::Input* x;
  const typename Rows::Number* w;
  const float* bias;  // or null
  float* y;
};

// Tiles of 8 rows x 3 outputs or 4 x 3 in 32 or 16 registers.
inline constexpr int kMostRows = kManyRegisters ? 8 : 4;
inline constexpr int kOutputs = 3;

// GCC reads memory again for each use of a vector rather than keep it in a register, more often than the processor can.
template <class Vector>
HWY_INLINE Vector kept(Vector v) {
#if HWY_COMPILER_GCC_ACTUAL && HWY_ARCH_X86
  asm("" : "+v"(v.raw));
#endif
  return v;
}

template <int kRows, int kOut>
HWY_INLINE void store_sums(const Vec (&sums)[kRows * kOut], int64_t O, const float* bias, float* y) {
  constexpr int kSums = kRows * kOut;
  float totals[(kSums + 3) / 4 * 4];
  for (int i = 0; i < kSums; i += 4) {
    const auto sum = [&](int j) HWY_ATTR { return j < kSums ? sums[j] : hn::Zero(Tag()); };
    sums_of_lanes(Tag(), sum(i), sum(i + 1), sum(i + 2), sum(i + 3), totals + i);
  }
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kOut; ++k) y[r * O + k] = totals[r * kOut + k] + (bias ? bias[k] : 0.0f);
  }
}

// Rows from n on. The first ones of several fetch the weights of the next outputs, so that memory does not wait for the
// products; one row alone waits for memory anyway.
template <int kRows, int kOut, class Rows>
HWY_INLINE void dot_tile(const Tile<Rows>& a, int64_t n) {
  constexpr int kNext = kRows > 1 ? kOut : 0;
  const auto* next = a.w + (n == 0 ? kOut * a.rows.I : 0);
  Vec sums[kRows * kOut];
  for (Vec& sum : sums) sum = hn::Zero(Tag());
  const auto add = [&](const auto& weight, const auto& input) HWY_ATTR {
    typename Rows::Vector weights[kOut];
    for (int k = 0; k < kOut; ++k) weights[k] = weight(k);
    for (int r = 0; r < kRows; ++r) {
      const auto one = kept(input(r));
      for (int k = 0; k < kOut; ++k) sums[r * kOut + k] = Rows::add(one, weights[k], sums[r * kOut + k]);
    }
  };
  a.rows.template for_each_vector<kNext>(a.x + n * a.rows.ldx(), a.w, next, add);
  store_sums<kRows, kOut>(sums, a.O, a.bias, a.y + n * a.O);
}

template <int kOut, class Rows, int... kRows>
HWY_INLINE void some_rows(std::integer_sequence<int, kRows...>, const Tile<Rows>& a, int64_t rows, int64_t n) {
  ((rows == kRows + 1 ? dot_tile<kRows + 1, kOut>(a, n) : void()), ...);
}

// Every row for kOut outputs, whose weights are read from memory once and stay in the first cache.
template <int kOut, class Rows>
HWY_INLINE void all_rows(const Tile<Rows>& a) {
  const int64_t blocks = (a.N + kMostRows - 1) / kMostRows;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t n = a.N * b / blocks, rows = a.N * (b + 1) / blocks - n;
    some_rows<kOut>(std::make_integer_sequence<int, kMostRows>(), a, rows, n);
  }
}

// Outputs [begin, end) of all rows.
template <int kOut, class Rows>
HWY_INLINE void all_outputs(const Tile<Rows>& a, int64_t begin, int64_t end) {
  auto from = [&](int64_t o) {
    return Tile<Rows>{a.N, a.O, a.rows, a.x, a.w + o * a.rows.I, a.bias ? a.bias + o : nullptr, a.y + o};
  };
  int64_t o = begin;
  for (; o + kOut <= end; o += kOut) all_rows<kOut>(from(o));
  for (; o < end; ++o) all_rows<1>(from(o));
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::linear_tile
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_LINEAR_TILE_INL_H_
