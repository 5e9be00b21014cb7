#include "engine/torch/torch_engine.h"
#include "updates/composites.h"

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

void TorchEngine::update(const Update& update, std::span<const Value> arrays) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> tensors;
  for (const Value& array : arrays) tensors.push_back(tensor_of(array));
  composite_of(update)(update, tensors);
}

}  // namespace rebased
