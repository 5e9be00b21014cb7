#include "cores/composites.h"
#include "cores/short_conv/short_conv.h"

namespace rebased {

using torch::Tensor;

std::vector<Tensor> short_conv_composite(const Core& core, const std::vector<Tensor>& operands,
                                         std::vector<Tensor>& states) {
  const Tensor &x = operands[0], &w = operands[1], &bias = operands[2];
  const int64_t K = w.size(1), T = x.size(1);
  const Tensor history = states.empty() ? torch::zeros({x.size(0), K - 1, x.size(2)}, x.options()) : states[0];
  const Tensor inputs = torch::cat({history, x}, 1);
  if (!states.empty()) states[0] = inputs.narrow(1, T, K - 1);
  const Tensor y = torch::conv1d(inputs.transpose(1, 2), w.unsqueeze(1), bias, torch::IntArrayRef{1},
                                 torch::IntArrayRef{0}, torch::IntArrayRef{1}, x.size(2))
                       .transpose(1, 2);
  return {static_cast<const ShortConvCore&>(core).silu ? torch::silu(y) : y};
}

}  // namespace rebased
