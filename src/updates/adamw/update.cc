#include "updates/adamw/adamw.h"
#include "updates/adamw/kernel.h"

namespace rebased {
namespace {

template <class Real>
kernels::AdamWArgs<Real> args(const AdamWStep& step, int64_t n, std::span<Real* const> arrays) {
  return {.n = n,
          .param = arrays[0],
          .grad = arrays[1],
          .m = arrays[2],
          .v = arrays[3],
          .step = step.step,
          .lr = step.lr,
          .beta1 = step.beta1,
          .beta2 = step.beta2,
          .eps = step.eps,
          .weight_decay = step.weight_decay,
          .grad_scale = step.grad_scale};
}

}  // namespace

void AdamWUpdate::run(int64_t n, std::span<float* const> arrays) const { kernels::cpu::adamw(args(step, n, arrays)); }

void AdamWUpdate::run(int64_t n, std::span<double* const> arrays) const {
  kernels::reference::adamw(args(step, n, arrays));
}

}  // namespace rebased
