// Products of rows of bfloat16 weights, as they lie, with rows of x a lane each; compiled once for each instruction
// set.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/products/bf16_lanes-inl.h"
#include "kernels/products/bf16_pack-inl.h"
#include "kernels/products/linear_plan.h"
#include "kernels/tools/tile-inl.h"
#include "kernels/tools/transpose-inl.h"

#if defined(REBASED_KERNELS_BF16_TURNED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_BF16_TURNED_INL_H_
#undef REBASED_KERNELS_BF16_TURNED_INL_H_
#else
#define REBASED_KERNELS_BF16_TURNED_INL_H_
#endif

#if HWY_TARGET <= HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16 {

HWY_INLINE Pairs set_pair(const uint16_t* numbers) {
  uint32_t pair;
  std::memcpy(&pair, numbers, sizeof(pair));
  return hn::Set(PairTag(), pair);
}

// sums [kRows, kVectors vectors] of kRows rows of w [I] with x in pairs [I / 2, kVectors vectors].
template <int kRows, int kVectors>
HWY_INLINE void turned_tile(int64_t I, const uint16_t* w, const uint32_t* x, float* sums, RowsAhead ahead) {
  constexpr int64_t kWidth = kVectors * kMaxLanes;
  constexpr int kBases = (kRows + 3) / 4;  // few enough addresses for registers
  const uint16_t* bases[kBases];
  for (int b = 0; b < kBases; ++b) bases[b] = w + 4 * b * I;
  Vec totals[kRows][kVectors];
  for (auto& row : totals) {
    for (Vec& total : row) total = hn::Zero(Tag());
  }
  for (int64_t k = 0; k < I / 2; ++k, x += kWidth) {
    ahead.template fetch<kRows>(k);
    Pairs right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(PairTag(), x + v * kMaxLanes);
    for (int r = 0; r < kRows; ++r) {
      const Pairs left = set_pair(bases[r / 4] + r % 4 * I + 2 * k);
      for (int v = 0; v < kVectors; ++v) totals[r][v] = add_products(left, right[v], totals[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) hn::StoreU(totals[r][v], Tag(), sums + r * kWidth + v * kMaxLanes);
  }
}

template <int kRows, int kVectors>
HWY_INLINE int64_t turned_rows(int64_t o, int64_t count, int64_t I, const uint16_t* w, const uint32_t* x, float* sums,
                               RowsAhead ahead) {
  for (; o + kRows <= count; o += kRows) {
    turned_tile<kRows, kVectors>(I, w + o * I, x, sums + o * kVectors * kMaxLanes, ahead.from_row(o));
  }
  return o;
}

template <int kVectors>
HWY_INLINE void turned_sums(int64_t count, int64_t I, const uint16_t* w, const uint32_t* x, float* sums,
                            RowsAhead ahead) {
  constexpr int kRows = kVectors == 4 ? 6 : kVectors == 3 ? 8 : 12;
  const int64_t o = turned_rows<kRows, kVectors>(0, count, I, w, x, sums, ahead);
  turned_rows<1, kVectors>(turned_rows<4, kVectors>(o, count, I, w, x, sums, ahead), count, I, w, x, sums, ahead);
}

// y of `count` outputs, at most kTurnedOutputs, for N <= kStreamedRows rows; x in pairs [I / 2, turned_width(N)], I
// even; w: their rows; y, bias: their places, rows of y O apart; sums: scratch [kTurnedOutputs, turned_width(N)]; next:
// the weights of the outputs behind.
HWY_INLINE void some_outputs(int64_t N, int64_t I, int64_t O, const uint32_t* x, int64_t count, const uint16_t* w,
                             const float* bias, float* y, float* sums, const uint16_t* next) {
  const int64_t width = turned_width(N), bytes = sizeof(uint16_t);
  const RowsAhead ahead{next, I * bytes, 2 * bytes};
  if (width == kMaxLanes) turned_sums<1>(count, I, w, x, sums, ahead);
  if (width == 2 * kMaxLanes) turned_sums<2>(count, I, w, x, sums, ahead);
  if (width == 3 * kMaxLanes) turned_sums<3>(count, I, w, x, sums, ahead);
  if (width == 4 * kMaxLanes) turned_sums<4>(count, I, w, x, sums, ahead);
  for (int64_t k = 0; k < count && bias != nullptr; ++k) {
    for (int64_t n = 0; n < width; ++n) sums[k * width + n] += bias[k];
  }
  transpose_any(count, N, sums, width, y, O);
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16
HWY_AFTER_NAMESPACE();
#endif

#endif  // REBASED_KERNELS_BF16_TURNED_INL_H_
