// Matrices turned in registers; compiled once for each instruction set.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#if defined(REBASED_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_TRANSPOSE_INL_H_
#undef REBASED_KERNELS_TRANSPOSE_INL_H_
#else
#define REBASED_KERNELS_TRANSPOSE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

#if HWY_TARGET == HWY_SCALAR
inline void transpose(int64_t rows, int64_t columns, const float* from, int64_t ld_from, float* to, int64_t ld_to,
                      float factor = 1) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t n = 0; n < columns; ++n) to[n * ld_to + r] = factor * from[r * ld_from + n];
  }
}
#else
template <class D>
HWY_INLINE void store_blocks(D d, hn::Vec<D> v, float* to, int64_t stride) {
  constexpr int64_t kCount = hn::MaxLanes(D());
  if constexpr (kCount <= 4) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Half<D> half;
    store_blocks(half, hn::LowerHalf(half, v), to, stride);
    store_blocks(half, hn::UpperHalf(half, v), to + kCount / 8 * stride, stride);
  }
}

// Four floats from each of as many places as D has blocks of four lanes.
template <class D>
HWY_INLINE hn::Vec<D> load_blocks(D d, const float* from, int64_t stride) {
  constexpr int64_t kCount = hn::MaxLanes(D());
  if constexpr (kCount <= 4) {
    return hn::LoadU(d, from);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_blocks(half, from + kCount / 8 * stride, stride), load_blocks(half, from, stride));
  }
}

// Turns the four by four floats in each block of four vectors.
template <class D>
HWY_INLINE void turn_blocks(D d, hn::Vec<D> (&v)[4]) {
  const hn::Repartition<double, D> wide;
  const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, v[0], v[1]));
  const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, v[2], v[3]));
  const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, v[0], v[1]));
  const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(wide, low01, low23));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23));
  v[2] = hn::BitCast(d, hn::InterleaveLower(wide, high01, high23));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23));
}

// Four rows of as many columns as D has lanes, times a factor, turned into columns of four.
template <class D>
HWY_INLINE void transpose_rows(D d, const float* from, int64_t ld_from, float* to, int64_t ld_to, float factor) {
  hn::Vec<D> v[4];
  for (int64_t r = 0; r < 4; ++r) v[r] = hn::Mul(hn::Set(d, factor), hn::LoadU(d, from + r * ld_from));
  turn_blocks(d, v);
  for (int64_t c = 0; c < 4; ++c) store_blocks(d, v[c], to + c * ld_to, 4 * ld_to);
}

// Four columns of as many rows as D has lanes, times a factor, turned into four rows.
template <class D>
HWY_INLINE void transpose_columns(D d, const float* from, int64_t ld_from, float* to, int64_t ld_to, float factor) {
  hn::Vec<D> v[4];
  for (int64_t r = 0; r < 4; ++r) {
    v[r] = hn::Mul(hn::Set(d, factor), load_blocks(d, from + r * ld_from, 4 * ld_from));
  }
  turn_blocks(d, v);
  for (int64_t c = 0; c < 4; ++c) hn::StoreU(v[c], d, to + c * ld_to);
}

// to[columns, rows] = factor from[rows, columns]^T; rows and columns are multiples of 4.
inline void transpose(int64_t rows, int64_t columns, const float* from, int64_t ld_from, float* to, int64_t ld_to,
                      float factor = 1) {
  int64_t r = 0;
  for (; r + lane_count() <= rows; r += lane_count()) {
    for (int64_t n = 0; n < columns; n += 4) {
      transpose_columns(Tag(), from + r * ld_from + n, ld_from, to + n * ld_to + r, ld_to, factor);
    }
  }
  for (; r < rows; r += 4) {
    int64_t n = 0;
    for (; n + lane_count() <= columns; n += lane_count()) {
      transpose_rows(Tag(), from + r * ld_from + n, ld_from, to + n * ld_to + r, ld_to, factor);
    }
    for (; n < columns; n += 4) {
      transpose_rows(hn::CappedTag<float, 4>(), from + r * ld_from + n, ld_from, to + n * ld_to + r, ld_to, factor);
    }
  }
}
#endif

// As transpose with no factor, for any number of rows and columns.
inline void transpose_any(int64_t rows, int64_t columns, const float* from, int64_t ld_from, float* to, int64_t ld_to) {
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  transpose(whole_rows, whole_columns, from, ld_from, to, ld_to);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c) to[c * ld_to + r] = from[r * ld_from + c];
  }
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_TRANSPOSE_INL_H_
