// A small matrix product on vectors held in registers, for operands that are already in cache.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#if defined(REBASED_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_TILE_INL_H_
#undef REBASED_KERNELS_TILE_INL_H_
#else
#define REBASED_KERNELS_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

// Element (m, k) of the left operand is a[m * row + k * column]: a transposed view costs nothing.
struct View {
  const float* a;
  int64_t row;
  int64_t column;
};

// What is fetched while a product runs: nothing, or other memory laid out as the rows of its left operand.
struct NothingAhead {
  HWY_INLINE NothingAhead from_row(int64_t /*m*/) const { return {}; }
  template <int kRows>
  HWY_INLINE void fetch(int64_t /*k*/) const {}
};
struct RowsAhead {
  const void* at;
  int64_t row, element;  // bytes of one
  HWY_INLINE RowsAhead from_row(int64_t m) const { return {static_cast<const char*>(at) + m * row, row, element}; }
  template <int kRows>  // kRows rows while k goes over all columns
  HWY_INLINE void fetch(int64_t k) const {
    __builtin_prefetch(static_cast<const char*>(at) + k * kRows * element, 0, 2);
  }
};

template <int kRows, int kVectors, class Ahead>
HWY_INLINE void register_tile(int64_t K, View left, const float* b, int64_t ldb, bool add, float* c, int64_t ldc,
                              Ahead ahead) {
  const Tag d;
  const int64_t step = lane_count();
  Vec sums[kRows][kVectors];
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) sums[m][v] = add ? hn::LoadU(d, c + m * ldc + v * step) : hn::Zero(d);
  }
  for (int64_t k = 0; k < K; ++k) {
    ahead.template fetch<kRows>(k);
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
template <int kRows, int kVectors, class Ahead>
HWY_INLINE int64_t multiply_rows(int64_t m, int64_t M, int64_t K, View left, const float* b, int64_t ldb, bool add,
                                 float* c, int64_t ldc, Ahead ahead) {
  for (; m + kRows <= M; m += kRows) {
    register_tile<kRows, kVectors>(K, {left.a + m * left.row, left.row, left.column}, b, ldb, add, c + m * ldc, ldc,
                                   ahead.from_row(m));
  }
  return m;
}

// Columns n .. of kVectors vectors, all rows.
template <int kVectors, class Ahead>
HWY_INLINE void multiply_columns(int64_t M, int64_t K, View left, const float* b, int64_t ldb, bool add, float* c,
                                 int64_t ldc, Ahead ahead) {
  // At most 24 or 12 sums in 32 or 16 registers.
  constexpr int kRows = !kManyRegisters ? 4 : kVectors == 4 ? 6 : 8;
  int64_t m = multiply_rows<kRows, kVectors>(0, M, K, left, b, ldb, add, c, ldc, ahead);
  m = multiply_rows<4, kVectors>(m, M, K, left, b, ldb, add, c, ldc, ahead);
  multiply_rows<1, kVectors>(m, M, K, left, b, ldb, add, c, ldc, ahead);
}

// c[M, N] (+)= left[M, K] b[K, N]; M best a multiple of kTileRows, N one of the lanes.
template <class Ahead = NothingAhead>
HWY_INLINE void multiply(int64_t M, int64_t N, int64_t K, View left, const float* b, int64_t ldb, bool add, float* c,
                         int64_t ldc, Ahead ahead = {}) {
  const int64_t step = lane_count();
#if HWY_TARGET <= HWY_AVX3
  if (N == 4 * step) return multiply_columns<4>(M, K, left, b, ldb, add, c, ldc, ahead);
#endif
  int64_t n = 0;
  for (; n + 3 * step <= N && n + 4 * step != N; n += 3 * step)
    multiply_columns<3>(M, K, left, b + n, ldb, add, c + n, ldc, ahead);
  for (; n + 2 * step <= N; n += 2 * step) multiply_columns<2>(M, K, left, b + n, ldb, add, c + n, ldc, ahead);
  for (; n < N; n += step) multiply_columns<1>(M, K, left, b + n, ldb, add, c + n, ldc, ahead);
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_TILE_INL_H_
