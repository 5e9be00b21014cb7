#include <cmath>

#include "updates/adamw/adamw.h"
#include "updates/composites.h"

namespace rebased {

using torch::Tensor;

void adamw_update(const Update& update, const std::vector<Tensor>& arrays) {
  const AdamWStep& step = static_cast<const AdamWUpdate&>(update).step;
  const Tensor &param = arrays[0], &m = arrays[2], &v = arrays[3];
  const Tensor g = arrays[1] * step.grad_scale;
  const auto count = static_cast<double>(step.step);
  const double m_scale = 1 - std::pow(step.beta1, count), v_scale = 1 - std::pow(step.beta2, count);
  param.mul_(1 - step.lr * step.weight_decay);
  m.mul_(step.beta1).add_(g, 1 - step.beta1);
  v.mul_(step.beta2).addcmul_(g, g, 1 - step.beta2);
  param.addcdiv_(m, (v / v_scale).sqrt_().add_(step.eps), -step.lr / m_scale);
}

}  // namespace rebased
