#include "cores/composites.h"
#include "cores/dropout/composite.h"
#include "cores/dropout/dropout.h"
#include "cores/dropout/kernel.h"

namespace rebased {

using torch::Tensor;

Tensor dropped(const Tensor& x, double p, uint64_t key) {
  Tensor mask = torch::ones({x.numel()}, torch::kFloat32);
  kernels::cpu::dropout(mask.numel(), key, p, mask.data_ptr<float>(), mask.data_ptr<float>());
  const Tensor kept = mask.ne(0).view(x.sizes()).to(x.device(), x.scalar_type());
  return x * (kept * (p < 1 ? 1 / (1 - p) : 0.0));  // scaled in x's type: 1 / (1 - p) in float is not that in double
}

std::vector<Tensor> dropout_composite(const Core& core, const std::vector<Tensor>& operands,
                                      std::vector<Tensor>& /*states*/) {
  const auto& dropout = static_cast<const DropoutCore&>(core);
  return {dropped(operands[0], dropout.p, dropout.key)};
}

}  // namespace rebased
