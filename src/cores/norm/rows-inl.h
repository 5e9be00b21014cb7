// What the norms and their gradients both compute of a row; compiled once for each instruction set.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#if defined(REBASED_CORES_NORM_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_CORES_NORM_ROWS_INL_H_
#undef REBASED_CORES_NORM_ROWS_INL_H_
#else
#define REBASED_CORES_NORM_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

// A row's sums over lanes wait for one another; several narrow rows take them together. A row comes out the same alone.
inline constexpr int kRowsAtOnce = 4;
inline constexpr int64_t kWidestAtOnce = 64;  // measured: 64 gains a little, 512 loses

template <int kRows>
HWY_INLINE void sums_of_rows(const Vec (&rows)[kRows], float (&sums)[kRows]) {
  static_assert(kRows == 1 || kRows == kRowsAtOnce);
  float all[kRowsAtOnce];
  sums_of_lanes(Tag(), rows[0], rows[1 % kRows], rows[2 % kRows], rows[3 % kRows], all);
  std::copy_n(all, kRows, sums);
}

// Means of rows of C.
template <int kRows>
HWY_INLINE void means_of_rows(const float* x, int64_t C, float (&means)[kRows]) {
  Vec sums[kRows];
  for (int r = 0; r < kRows; ++r) {
    sums[r] = hn::Zero(Tag());
    for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR { sums[r] = hn::Add(sums[r], at.load(x + r * C + c)); });
  }
  sums_of_rows(sums, means);
  for (float& mean : means) mean /= static_cast<float>(C);
}

// 1 / sqrt(mean of (x - center)^2 over a row + eps).
template <int kRows>
HWY_INLINE void factors_of_rows(const float* x, int64_t C, const float (&centers)[kRows], double eps,
                                float (&factors)[kRows]) {
  const Tag d;
  Vec sums[kRows];
  for (int r = 0; r < kRows; ++r) {
    sums[r] = hn::Zero(d);
    const Vec mid = hn::Set(d, centers[r]);
    for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR {
      const Vec off = at.keep(hn::Sub(at.load(x + r * C + c), mid));
      sums[r] = hn::MulAdd(off, off, sums[r]);
    });
  }
  sums_of_rows(sums, factors);
  for (float& factor : factors) {
    factor = static_cast<float>(1 / std::sqrt(static_cast<double>(factor / static_cast<float>(C)) + eps));
  }
}

// Calls body(n, std::integral_constant<int, rows>()) for rows of C from `begin` on.
template <class Body>
HWY_INLINE void for_each_rows(int64_t C, int64_t begin, int64_t end, const Body& body) {
  int64_t n = begin;
  for (; C <= kWidestAtOnce && n + kRowsAtOnce <= end; n += kRowsAtOnce)
    body(n, std::integral_constant<int, kRowsAtOnce>());
  for (; n < end; ++n) body(n, std::integral_constant<int, 1>());
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_CORES_NORM_ROWS_INL_H_
