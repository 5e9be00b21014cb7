// A small matrix product on vectors held in registers, for operands that are already in cache.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#if defined(REBASED_KERNELS_CPU_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_CPU_TILE_INL_H_
#undef REBASED_KERNELS_CPU_TILE_INL_H_
#else
#define REBASED_KERNELS_CPU_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

// Element (m, k) of the left operand is a[m * row + k * column]: a transposed view costs nothing.
struct View {
  const float* a;
  int64_t row;
  int64_t column;
};

template <int kRows, int kVectors>
HWY_INLINE void register_tile(int64_t K, View left, const float* b, int64_t ldb, bool add, float* c, int64_t ldc) {
  const Tag d;
  const int64_t step = lane_count();
  Vec sums[kRows][kVectors];
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) sums[m][v] = add ? hn::LoadU(d, c + m * ldc + v * step) : hn::Zero(d);
  }
  for (int64_t k = 0; k < K; ++k) {
    Vec right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, b + k * ldb + v * step);
    for (int m = 0; m < kRows; ++m) {
      const Vec factor = hn::Set(d, left.a[m * left.row + k * left.column]);
      for (int v = 0; v < kVectors; ++v) sums[m][v] = hn::MulAdd(factor, right[v], sums[m][v]);
    }
  }
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[m][v], d, c + m * ldc + v * step);
  }
}

inline constexpr int64_t kTileRows = 8;

// Rows from m on, kRows at a time; returns where it stopped.
template <int kRows, int kVectors>
HWY_INLINE int64_t multiply_rows(int64_t m, int64_t M, int64_t K, View left, const float* b, int64_t ldb, bool add,
                                 float* c, int64_t ldc) {
  for (; m + kRows <= M; m += kRows) {
    register_tile<kRows, kVectors>(K, {left.a + m * left.row, left.row, left.column}, b, ldb, add, c + m * ldc, ldc);
  }
  return m;
}

// Columns n .. of kVectors vectors, all rows.
template <int kVectors>
HWY_INLINE void multiply_columns(int64_t M, int64_t K, View left, const float* b, int64_t ldb, bool add, float* c,
                                 int64_t ldc) {
  // At most 24 or 12 sums in 32 or 16 registers.
  constexpr int kRows = HWY_TARGET > HWY_AVX3 ? 4 : kVectors == 4 ? 6 : 8;
  int64_t m = multiply_rows<kRows, kVectors>(0, M, K, left, b, ldb, add, c, ldc);
  m = multiply_rows<4, kVectors>(m, M, K, left, b, ldb, add, c, ldc);
  multiply_rows<1, kVectors>(m, M, K, left, b, ldb, add, c, ldc);
}

// c[M, N] (+)= left[M, K] b[K, N]; M best a multiple of kTileRows, N one of the lanes.
HWY_INLINE void multiply(int64_t M, int64_t N, int64_t K, View left, const float* b, int64_t ldb, bool add, float* c,
                         int64_t ldc) {
  const int64_t step = lane_count();
#if HWY_TARGET <= HWY_AVX3
  if (N == 4 * step) return multiply_columns<4>(M, K, left, b, ldb, add, c, ldc);
#endif
  int64_t n = 0;
  for (; n + 3 * step <= N && n + 4 * step != N; n += 3 * step)
    multiply_columns<3>(M, K, left, b + n, ldb, add, c + n, ldc);
  for (; n + 2 * step <= N; n += 2 * step) multiply_columns<2>(M, K, left, b + n, ldb, add, c + n, ldc);
  for (; n < N; n += step) multiply_columns<1>(M, K, left, b + n, ldb, add, c + n, ldc);
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_CPU_TILE_INL_H_
