#include "updates/adamw/kernel.h"

#include <cmath>

namespace rebased::kernels::reference {

void adamw(const AdamWArgs<double>& a) noexcept {
  const double correction1 = 1 - std::pow(a.beta1, static_cast<double>(a.step));
  const double correction2 = 1 - std::pow(a.beta2, static_cast<double>(a.step));
  for (int64_t i = 0; i < a.n; ++i) {
    const double g = a.grad_scale * a.grad[i];
    a.param[i] -= a.lr * a.weight_decay * a.param[i];
    a.m[i] = a.beta1 * a.m[i] + (1 - a.beta1) * g;
    a.v[i] = a.beta2 * a.v[i] + (1 - a.beta2) * g * g;
    a.param[i] -= a.lr / correction1 * a.m[i] / (std::sqrt(a.v[i] / correction2) + a.eps);
  }
}

}  // namespace rebased::kernels::reference
