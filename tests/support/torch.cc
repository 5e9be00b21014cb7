#include "support/torch.h"

#include "engine/torch/torch_engine.h"

namespace rebased::testing {

std::unique_ptr<Engine> make_torch_engine(DType dtype, bool kernels, bool bf16_products) {
  const auto torch_dtype = dtype == DType::kF64 ? torch::kFloat64 : torch::kFloat32;
  const Precision products = bf16_products ? Precision::kBF16 : Precision::kF32;
  return std::make_unique<TorchEngine>(torch_dtype, torch::kCPU, kernels, products);
}

bool bf16_products_are_widened() { return !mixed_precision::multiplies_natively(torch::kCPU); }

void track(const Value& leaf) { leaf.as<TorchValue>().tensor().requires_grad_(); }

std::vector<std::optional<HostArray>> gradients(std::span<const Weighted> outputs, std::span<const Value> leaves) {
  std::vector<torch::Tensor> roots, weights, inputs;
  for (const Weighted& item : outputs) {
    if (!tensor_of(item.output).requires_grad()) continue;
    roots.push_back(tensor_of(item.output));
    weights.push_back(tensor_of(write(item.output.engine(), item.weight)));
  }
  for (const Value& leaf : leaves) inputs.push_back(tensor_of(leaf));
  std::vector<std::optional<HostArray>> result(leaves.size());
  if (roots.empty()) return result;
  const std::vector<torch::Tensor> grads =
      torch::autograd::grad(roots, inputs, weights, /*retain_graph=*/{}, /*create_graph=*/false, /*allow_unused=*/true);
  auto& engine = static_cast<TorchEngine&>(leaves.front().engine());
  for (size_t i = 0; i < grads.size(); ++i) {
    if (grads[i].defined()) result[i] = read(engine.wrap(grads[i]));
  }
  return result;
}

void back_propagate(const Value& output, const HostArray& weight) {
  tensor_of(output).backward(tensor_of(write(output.engine(), weight)));
}

}  // namespace rebased::testing
