// What the norms of dense.h and their gradients both compute of a row; compiled once for each instruction set.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#if defined(REBASED_KERNELS_CPU_NORM_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_CPU_NORM_ROWS_INL_H_
#undef REBASED_KERNELS_CPU_NORM_ROWS_INL_H_
#else
#define REBASED_KERNELS_CPU_NORM_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

HWY_INLINE float mean_of(const float* x, int64_t C) {
  Vec sum = hn::Zero(Tag());
  for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR { sum = hn::Add(sum, at.load(x + c)); });
  return sum_lanes(sum) / static_cast<float>(C);
}

// Mean of (x - center)^2 over a row.
HWY_INLINE float mean_square(const float* x, int64_t C, float center) {
  const Tag d;
  Vec sum = hn::Zero(d);
  const Vec mid = hn::Set(d, center);
  for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR {
    const Vec off = at.keep(hn::Sub(at.load(x + c), mid));
    sum = hn::MulAdd(off, off, sum);
  });
  return sum_lanes(sum) / static_cast<float>(C);
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_CPU_NORM_ROWS_INL_H_
