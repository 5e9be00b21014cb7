#include "train/optimizer.h"

#include <cmath>

#include "engine/torch/torch_value.h"
#include "kernels/adamw.h"

namespace rebased {

AdamW::AdamW(ParameterStore& parameters, const OptimizerRecipe& recipe) : recipe_(recipe) {
  for (Param& param : parameters.params()) {
    if (!param.spec.trainable) continue;
    const torch::Tensor tensor = tensor_of(param.value);
    tensor.set_requires_grad(true);
    slots_.push_back({param.spec.name, tensor, torch::zeros_like(tensor), torch::zeros_like(tensor),
                      recipe.decay == "all" || param.spec.decay, param.spec.lr_scale});
  }
}

void AdamW::zero_grad() {
  for (Slot& slot : slots_) slot.tensor.mutable_grad() = torch::Tensor();
}

double AdamW::grad_norm() const {
  double squares = 0;
  for (const Slot& slot : slots_) {
    if (slot.tensor.grad().defined()) squares += slot.tensor.grad().to(torch::kFloat64).square().sum().item<double>();
  }
  return std::sqrt(squares);
}

void AdamW::step(double lr, double grad_scale) {
  torch::NoGradGuard no_grad;
  ++steps_;
  for (Slot& slot : slots_) {
    if (slot.tensor.grad().defined()) update(slot, lr * slot.lr_scale, grad_scale);
  }
}

void AdamW::update(Slot& slot, double lr, double grad_scale) const {
  const torch::Tensor grad = slot.tensor.grad().contiguous();
  const double decay = slot.decays ? recipe_.weight_decay : 0;
  if (slot.tensor.is_cpu() && slot.tensor.scalar_type() == torch::kFloat32) {
    kernels::cpu::adamw({.n = slot.tensor.numel(),
                         .param = slot.tensor.data_ptr<float>(),
                         .grad = grad.data_ptr<float>(),
                         .m = slot.m.data_ptr<float>(),
                         .v = slot.v.data_ptr<float>(),
                         .step = steps_,
                         .lr = lr,
                         .beta1 = recipe_.beta1,
                         .beta2 = recipe_.beta2,
                         .eps = recipe_.eps,
                         .weight_decay = decay,
                         .grad_scale = grad_scale});
    return;
  }
  const torch::Tensor g = grad * grad_scale;
  slot.tensor.mul_(1 - lr * decay);
  slot.m.mul_(recipe_.beta1).add_(g, 1 - recipe_.beta1);
  slot.v.mul_(recipe_.beta2).addcmul_(g, g, 1 - recipe_.beta2);
  const double m_scale = 1 - std::pow(recipe_.beta1, static_cast<double>(steps_));
  const double v_scale = 1 - std::pow(recipe_.beta2, static_cast<double>(steps_));
  slot.tensor.addcdiv_(slot.m, (slot.v / v_scale).sqrt_().add_(recipe_.eps), -lr / m_scale);
}

}  // namespace rebased
