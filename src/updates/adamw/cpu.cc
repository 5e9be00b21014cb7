#include "updates/adamw/kernel.h"

#include <cmath>
#include <functional>

#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "updates/adamw/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

void adamw_range(const AdamWArgs<float>& a, int64_t begin, int64_t end) {
  const Tag d;
  const auto set = [&](double value) HWY_ATTR { return hn::Set(d, static_cast<float>(value)); };
  const auto step = static_cast<double>(a.step);
  const Vec scale = set(a.grad_scale), decay = set(1 - a.lr * a.weight_decay), eps = set(a.eps);
  const Vec beta1 = set(a.beta1), rest1 = set(1 - a.beta1), beta2 = set(a.beta2), rest2 = set(1 - a.beta2);
  const Vec rate = set(a.lr / (1 - std::pow(a.beta1, step)));
  const Vec correction = set(1 / (1 - std::pow(a.beta2, step)));
  for_each_vector(end - begin, [&](int64_t offset, auto at) HWY_ATTR {
    const int64_t i = begin + offset;
    const Vec g = hn::Mul(scale, at.load(a.grad + i));
    const Vec m = hn::MulAdd(beta1, at.load(a.m + i), hn::Mul(rest1, g));
    const Vec v = hn::MulAdd(beta2, at.load(a.v + i), hn::Mul(rest2, hn::Mul(g, g)));
    const Vec update = hn::Div(hn::Mul(rate, m), hn::Add(hn::Sqrt(hn::Mul(correction, v)), eps));
    at.store(m, a.m + i);
    at.store(v, a.v + i);
    at.store(hn::Sub(hn::Mul(decay, at.load(a.param + i)), update), a.param + i);
  });
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(adamw_range);

}  // namespace

void adamw(const AdamWArgs<float>& args) noexcept {
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(adamw_range)(args, begin, end); };
  parallel_for(args.n, 8192, std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
