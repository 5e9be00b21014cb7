// Rows of second-order monomials and their gradient; compiled once for each instruction set.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#if defined(REBASED_KERNELS_MONOMIALS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_MONOMIALS_INL_H_
#undef REBASED_KERNELS_MONOMIALS_INL_H_
#else
#define REBASED_KERNELS_MONOMIALS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

// y[i] = factor x[i]
HWY_INLINE void scaled(int64_t n, float factor, const float* x, float* y) {
  const Vec f = hn::Set(Tag(), factor);
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR { at.store(hn::Mul(f, at.load(x + i)), y + i); });
}

// [square x_i^2 | cross x_i x_j, i < j row by row]
HWY_INLINE void packed_row(int64_t D, float square, float cross, const float* x, float* y) {
  const Vec f = hn::Set(Tag(), square);
  for_each_vector(D, [&](int64_t i, auto at) HWY_ATTR {
    const Vec v = at.load(x + i);
    at.store(hn::Mul(hn::Mul(v, v), f), y + i);
  });
  y += D;
  for (int64_t i = 0; i < D; ++i) {
    scaled(D - i - 1, cross * x[i], x + i + 1, y);
    y += D - i - 1;
  }
}

// y += factor x
HWY_INLINE void add_scaled(int64_t n, float factor, const float* x, float* y) {
  const Vec f = hn::Set(Tag(), factor);
  for_each_vector(n,
                  [&](int64_t i, auto at) HWY_ATTR { at.store(hn::MulAdd(f, at.load(x + i), at.load(y + i)), y + i); });
}

HWY_INLINE float dot(int64_t n, const float* a, const float* b) {
  Vec sum = hn::Zero(Tag());
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR { sum = hn::MulAdd(at.load(a + i), at.load(b + i), sum); });
  return sum_lanes(sum);
}

// dx += the gradient of packed_row.
HWY_INLINE void packed_row_grad(int64_t D, float square, float cross, const float* x, const float* dy, float* dx) {
  for_each_vector(D, [&](int64_t i, auto at) HWY_ATTR {
    const Vec slope = hn::Mul(hn::Mul(at.load(x + i), at.load(dy + i)), hn::Set(Tag(), 2 * square));
    at.store(hn::Add(at.load(dx + i), slope), dx + i);
  });
  dy += D;
  for (int64_t i = 0; i < D; ++i) {
    const int64_t n = D - i - 1;
    dx[i] += cross * dot(n, x + i + 1, dy);
    add_scaled(n, cross * x[i], dy, dx + i + 1);
    dy += n;
  }
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_MONOMIALS_INL_H_
