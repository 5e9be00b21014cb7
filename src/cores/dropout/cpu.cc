#include "cores/dropout/kernel.h"

#include <algorithm>
#include <functional>

#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/dropout/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/dropout-inl.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_CORES_DROPOUT_ARGS
#define REBASED_CORES_DROPOUT_ARGS
namespace rebased::kernels::cpu {
namespace {
struct DropoutArgs {
  Dropout dropout;
  const float* x;
  float* y;
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

void dropout_range(const DropoutArgs& a, int64_t begin, int64_t end) {
  drop(a.dropout, begin, end - begin, a.x + begin, a.y + begin);
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(dropout_range);

constexpr int64_t kGrain = 8192;  // elements worth a thread

}  // namespace

void dropout(int64_t n, uint64_t key, double p, const float* x, float* y) noexcept {
  const DropoutArgs args{Dropout(key, p), x, y};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(dropout_range)(args, begin, end); };
  parallel_for(n, kGrain, std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
