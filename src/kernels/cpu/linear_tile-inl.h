// Products of a few rows with rows of weights, sums kept in registers; compiled once for each instruction set.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#if defined(REBASED_KERNELS_CPU_LINEAR_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_CPU_LINEAR_TILE_INL_H_
#undef REBASED_KERNELS_CPU_LINEAR_TILE_INL_H_
#else
#define REBASED_KERNELS_CPU_LINEAR_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::linear_tile {

using namespace lanes;  // NOLINT

// x [N, I]; w: the rows of some outputs, I apart; y, bias: those outputs' places, rows of y O apart.
struct Tile {
  int64_t N, I, O;
  const float* x;
  const float* w;
  const float* bias;  // or null
  float* y;
};

inline constexpr int kOutputs = HWY_TARGET <= HWY_AVX3 ? 4 : 2;  // as many as the registers hold for four rows

template <int kRows, int kOut>
HWY_INLINE void dot_tile(const Tile& a, int64_t n) {
  const Tag d;
  const float* x = a.x + n * a.I;
  Vec sums[kRows * kOut];
  for (Vec& sum : sums) sum = hn::Zero(d);
  for_each_vector(a.I, [&](int64_t i, auto at) HWY_ATTR {
    Vec weights[kOut];
    for (int k = 0; k < kOut; ++k) weights[k] = at.load(a.w + k * a.I + i);
    for (int r = 0; r < kRows; ++r) {
      const Vec input = at.load(x + r * a.I + i);
      for (int k = 0; k < kOut; ++k) sums[r * kOut + k] = hn::MulAdd(input, weights[k], sums[r * kOut + k]);
    }
  });
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kOut; ++k) {
      a.y[(n + r) * a.O + k] = sum_lanes(sums[r * kOut + k]) + (a.bias ? a.bias[k] : 0.0f);
    }
  }
}

// Every row for kOut outputs: their weights are read from memory once and stay in the first cache.
template <int kOut>
HWY_INLINE void all_rows(const Tile& a) {
  int64_t n = 0;
  for (; n + 4 <= a.N; n += 4) dot_tile<4, kOut>(a, n);
  if (a.N - n == 3) {
    dot_tile<3, kOut>(a, n);
  } else if (a.N - n == 2) {
    dot_tile<2, kOut>(a, n);
  } else if (a.N - n == 1) {
    dot_tile<1, kOut>(a, n);
  }
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::linear_tile
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_CPU_LINEAR_TILE_INL_H_
