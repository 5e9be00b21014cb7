#include "cores/composites.h"

namespace rebased {

using torch::Tensor;

std::vector<Tensor> swiglu_composite(const Core& /*core*/, const std::vector<Tensor>& operands,
                                     std::vector<Tensor>& /*states*/) {
  const std::vector<Tensor> halves = torch::chunk(operands[0], 2, -1);
  return {halves[0] * torch::silu(halves[1])};
}

}  // namespace rebased
