#include <cmath>

#include "engine/torch/torch_engine.h"

namespace rebased {

using torch::Tensor;

void TorchEngine::track(const Value& leaf) { tensor_of(leaf).requires_grad_(); }

void TorchEngine::backward(std::span<const Value> outputs, std::span<const Value> weights) {
  std::vector<Tensor> roots, slopes;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!tensor_of(outputs[i]).requires_grad()) continue;
    roots.push_back(tensor_of(outputs[i]));
    slopes.push_back(tensor_of(weights[i]));
  }
  if (!roots.empty()) torch::autograd::backward(roots, slopes);
}

Value TorchEngine::gradient(const Value& leaf) const {
  const Tensor grad = tensor_of(leaf).grad();
  return grad.defined() ? wrap(grad) : Value();
}

void TorchEngine::clear_gradient(const Value& leaf) { tensor_of(leaf).mutable_grad() = Tensor(); }

bool TorchEngine::set_recording(bool on) {
  const bool was = torch::GradMode::is_enabled();
  torch::GradMode::set_enabled(on);
  return was;
}

double TorchEngine::sum_of_squares(const Value& x) {
  return tensor_of(x).detach().to(torch::kFloat64).square().sum().item<double>();
}

void TorchEngine::adamw(const Value& param_value, const Value& grad, const Value& m_value, const Value& v_value,
                        const AdamWStep& step) {
  torch::NoGradGuard no_grad;
  const Tensor param = tensor_of(param_value), m = tensor_of(m_value), v = tensor_of(v_value);
  const Tensor g = tensor_of(grad) * step.grad_scale;
  const auto count = static_cast<double>(step.step);
  const double m_scale = 1 - std::pow(step.beta1, count), v_scale = 1 - std::pow(step.beta2, count);
  param.mul_(1 - step.lr * step.weight_decay);
  m.mul_(step.beta1).add_(g, 1 - step.beta1);
  v.mul_(step.beta2).addcmul_(g, g, 1 - step.beta2);
  param.addcdiv_(m, (v / v_scale).sqrt_().add_(step.eps), -step.lr / m_scale);
}

}  // namespace rebased
