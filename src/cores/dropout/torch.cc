#include "cores/composites.h"
#include "cores/dropout/composite.h"
#include "cores/dropout/dropout.h"
#include "cores/dropout/kernel.h"

namespace rebased {

using torch::Tensor;

Tensor dropped(const Tensor& x, double p, uint64_t key) {
  Tensor mask = torch::ones({x.numel()}, torch::kFloat32);
  kernels::cpu::dropout(mask.numel(), key, p, mask.data_ptr<float>(), mask.data_ptr<float>());
  return x * mask.view(x.sizes()).to(x.device(), x.scalar_type());
}

std::vector<Tensor> dropout_composite(const Core& core, const std::vector<Tensor>& operands,
                                      std::vector<Tensor>& /*states*/) {
  const auto& dropout = static_cast<const DropoutCore&>(core);
  return {dropped(operands[0], dropout.p, dropout.key)};
}

}  // namespace rebased
