#include "cores/softmax/kernel.h"

#include <limits>

#include "kernels/tools/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/softmax/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_CORES_SOFTMAX_ARGS
#define REBASED_CORES_SOFTMAX_ARGS
namespace rebased::kernels::cpu {
namespace {
struct SoftmaxArgs {
  int64_t C;
  const float* x;
  float* y;
};
struct SoftmaxGradArgs {
  int64_t C;
  const float* y;
  const float* dy;
  float* dx;
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

void softmax_row(const float* x, int64_t C, float* y) {
  const Tag d;
  const Vec lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  Vec top = lowest;
  for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR {
    top = hn::Max(top, hn::IfThenElse(hn::Ne(at.keep(hn::Set(d, 1.0f)), hn::Zero(d)), at.load(x + c), lowest));
  });
  const Vec shift = hn::Set(d, max_lanes(top));
  Vec sum = hn::Zero(d);
  for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR {
    const Vec e = exp_nonpositive(d, hn::Sub(at.load(x + c), shift));
    sum = hn::Add(sum, at.keep(e));
    at.store(e, y + c);
  });
  const Vec factor = hn::Set(d, 1.0f / sum_lanes(sum));
  for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR { at.store(hn::Mul(at.load(y + c), factor), y + c); });
}

void softmax_rows(const SoftmaxArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) softmax_row(a.x + n * a.C, a.C, a.y + n * a.C);
}

void softmax_grad_rows(const SoftmaxGradArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    const float *y = a.y + n * a.C, *dy = a.dy + n * a.C;
    float* dx = a.dx + n * a.C;
    Vec sum = hn::Zero(Tag());
    for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR { sum = hn::MulAdd(at.load(y + c), at.load(dy + c), sum); });
    const Vec mean = hn::Set(Tag(), sum_lanes(sum));
    for_each_vector(a.C, [&](int64_t c, auto at)
                             HWY_ATTR { at.store(hn::Mul(at.load(y + c), hn::Sub(at.load(dy + c), mean)), dx + c); });
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(softmax_rows);
HWY_EXPORT(softmax_grad_rows);

constexpr int64_t kElements = 16384;  // worth a thread
constexpr int64_t kGradElements = 8192;

}  // namespace

void softmax(int64_t N, int64_t C, const float* x, float* y) noexcept {
  if (C > 0) over_rows<SoftmaxArgs>(N, C, kElements, {C, x, y}, HWY_DYNAMIC_DISPATCH(softmax_rows));
}

void softmax_grad(int64_t N, int64_t C, const float* y, const float* dy, float* dx) noexcept {
  over_rows<SoftmaxGradArgs>(N, C, kGradElements, {C, y, dy, dx}, HWY_DYNAMIC_DISPATCH(softmax_grad_rows));
}

}  // namespace rebased::kernels::cpu
#endif
