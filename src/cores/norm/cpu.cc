#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "cores/norm/kernel.h"
#include "kernels/tools/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/norm/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "cores/norm/rows-inl.h"
#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_CORES_NORM_ARGS
#define REBASED_CORES_NORM_ARGS
namespace rebased::kernels::cpu {
namespace {
struct NormArgs {
  int64_t C;
  const float* x;
  const float* gain;
  const float* shift;
  double eps;
  float* y;
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// y = (x - center) * factor, then gain and shift where given.
HWY_INLINE void normalise_row(const NormArgs& a, const float* x, float center, float factor, float* y) {
  const Tag d;
  const Vec mid = hn::Set(d, center);
  const Vec scale = hn::Set(d, factor);
  for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
    Vec v = hn::Mul(hn::Sub(at.load(x + c), mid), scale);
    if (a.gain) v = hn::Mul(v, at.load(a.gain + c));
    if (a.shift) v = hn::Add(v, at.load(a.shift + c));
    at.store(v, y + c);
  });
}

template <bool kCentred>
HWY_INLINE void normalise_rows(const NormArgs& a, int64_t begin, int64_t end) {
  for_each_rows(a.C, begin, end, [&](int64_t n, auto count) HWY_ATTR {
    constexpr int kRows = decltype(count)::value;
    const float* x = a.x + n * a.C;
    float means[kRows] = {}, factors[kRows];
    if (kCentred) means_of_rows(x, a.C, means);
    factors_of_rows(x, a.C, means, a.eps, factors);
    for (int r = 0; r < kRows; ++r) normalise_row(a, x + r * a.C, means[r], factors[r], a.y + (n + r) * a.C);
  });
}

void layer_norm_rows(const NormArgs& a, int64_t begin, int64_t end) { normalise_rows<true>(a, begin, end); }
void rms_norm_rows(const NormArgs& a, int64_t begin, int64_t end) { normalise_rows<false>(a, begin, end); }

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(rms_norm_rows);

constexpr int64_t kElements = 16384;  // worth a thread

}  // namespace

void layer_norm(int64_t N, int64_t C, const float* x, const float* gamma, const float* beta, double eps,
                float* y) noexcept {
  if (C > 0) over_rows<NormArgs>(N, C, kElements, {C, x, gamma, beta, eps, y}, HWY_DYNAMIC_DISPATCH(layer_norm_rows));
}

void rms_norm(int64_t N, int64_t C, const float* x, const float* weight, double eps, float* y) noexcept {
  if (C > 0) over_rows<NormArgs>(N, C, kElements, {C, x, weight, nullptr, eps, y}, HWY_DYNAMIC_DISPATCH(rms_norm_rows));
}

}  // namespace rebased::kernels::cpu
#endif
