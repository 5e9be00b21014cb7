#include "cores/composites.h"

namespace rebased {

using torch::Tensor;

std::vector<Tensor> softmax_composite(const Core& /*core*/, const std::vector<Tensor>& operands,
                                      std::vector<Tensor>& /*states*/) {
  return {torch::softmax(operands[0], -1)};
}

}  // namespace rebased
