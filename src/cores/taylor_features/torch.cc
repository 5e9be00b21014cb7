#include <cmath>

#include "cores/composites.h"
#include "cores/packed_squares/composite.h"
#include "cores/taylor_features/taylor_features.h"

namespace rebased {

using torch::Tensor;

std::vector<Tensor> taylor_features_composite(const Core& core, const std::vector<Tensor>& operands,
                                              std::vector<Tensor>& /*states*/) {
  const Tensor& x = operands[0];
  const auto D = static_cast<double>(x.size(-1));
  const bool packed = static_cast<const TaylorFeaturesCore&>(core).packed;
  const Tensor second = packed ? packed_squares(x) : (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2);
  return {torch::cat({torch::ones_like(x.narrow(-1, 0, 1)), x / std::pow(D, 0.25), second / std::sqrt(2 * D)}, -1)};
}

}  // namespace rebased
