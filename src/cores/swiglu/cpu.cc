#include "cores/swiglu/kernel.h"

#include "kernels/tools/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/swiglu/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_CORES_SWIGLU_ARGS
#define REBASED_CORES_SWIGLU_ARGS
namespace rebased::kernels::cpu {
namespace {
struct SwigluArgs {
  int64_t C;
  const float* x;   // [N, 2 C]
  const float* dy;  // [N, C], for the gradient
  float* out;       // y [N, C] or dx [N, 2 C]
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

HWY_INLINE Vec silu(Vec x) { return hn::Div(x, hn::Add(hn::Set(Tag(), 1.0f), exp_any(Tag(), hn::Neg(x)))); }

void swiglu_rows(const SwigluArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    const float *up = a.x + n * 2 * a.C, *gate = up + a.C;
    float* y = a.out + n * a.C;
    for_each_vector(
        a.C, [&](int64_t c, auto at) HWY_ATTR { at.store(hn::Mul(at.load(up + c), silu(at.load(gate + c))), y + c); });
  }
}

void swiglu_grad_rows(const SwigluArgs& a, int64_t begin, int64_t end) {
  const Vec one = hn::Set(Tag(), 1.0f);
  for (int64_t n = begin; n < end; ++n) {
    const float *up = a.x + n * 2 * a.C, *gate = up + a.C, *dy = a.dy + n * a.C;
    float *d_up = a.out + n * 2 * a.C, *d_gate = d_up + a.C;
    for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
      const Vec g = at.load(gate + c), s = sigmoid(Tag(), g), slope = hn::Mul(at.load(dy + c), s);
      const Vec bend = hn::MulAdd(g, hn::Sub(one, s), one);
      const Vec by_gate = hn::Mul(hn::Mul(slope, at.load(up + c)), bend);
      at.store(hn::Mul(slope, g), d_up + c);
      at.store(by_gate, d_gate + c);
    });
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(swiglu_rows);
HWY_EXPORT(swiglu_grad_rows);

constexpr int64_t kGrain = 8192;  // elements worth a thread

}  // namespace

void swiglu(int64_t N, int64_t C, const float* x, float* y) noexcept {
  over_rows<SwigluArgs>(N, C, kGrain, {C, x, nullptr, y}, HWY_DYNAMIC_DISPATCH(swiglu_rows));
}

void swiglu_grad(int64_t N, int64_t C, const float* x, const float* dy, float* dx) noexcept {
  over_rows<SwigluArgs>(N, C, kGrain, {C, x, dy, dx}, HWY_DYNAMIC_DISPATCH(swiglu_grad_rows));
}

}  // namespace rebased::kernels::cpu
#endif
