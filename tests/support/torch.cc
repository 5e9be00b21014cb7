#include "support/torch.h"

#include "engine/torch/torch_engine.h"

namespace rebased::testing {

std::unique_ptr<Engine> make_torch_engine(DType dtype, bool kernels, bool bf16_products) {
  const auto torch_dtype = dtype == DType::kF64 ? torch::kFloat64 : torch::kFloat32;
  const Precision products = bf16_products ? Precision::kBF16 : Precision::kF32;
  return std::make_unique<TorchEngine>(torch_dtype, torch::kCPU, kernels, products);
}

bool bf16_products_are_widened() { return !mixed_precision::multiplies_natively(torch::kCPU); }

}  // namespace rebased::testing
