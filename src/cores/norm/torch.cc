#include "cores/composites.h"
#include "cores/norm/norm.h"

namespace rebased {
namespace {

using torch::Tensor;

// Of x, with its gain, and its shift behind that.
Tensor norm_of(const Tensor& x, const std::vector<Tensor>& operands, size_t gain, const NormOptions& options) {
  if (options.centred) return torch::layer_norm(x, {x.size(-1)}, operands[gain], operands[gain + 1], options.eps);
  const Tensor y = x * torch::rsqrt(x.square().mean(-1, true) + options.eps);
  return operands[gain].defined() ? y * operands[gain] : y;
}

}  // namespace

std::vector<Tensor> norm_composite(const Core& core, const std::vector<Tensor>& operands,
                                   std::vector<Tensor>& /*states*/) {
  if (const auto* norm = dynamic_cast<const NormCore*>(&core)) {
    return {norm_of(operands[0], operands, 1, norm->options)};
  }
  const Tensor sum = operands[0] + operands[1];
  return {sum, norm_of(sum, operands, 2, dynamic_cast<const AddNormCore&>(core).options)};
}

}  // namespace rebased
