#include <numbers>

#include "cores/composites.h"
#include "cores/packed_squares/composite.h"

namespace rebased {

using torch::Tensor;

Tensor packed_squares(const Tensor& x) {
  const int64_t D = x.size(-1);
  const Tensor pairs = torch::triu_indices(D, D, 1, torch::TensorOptions().dtype(torch::kLong).device(x.device()));
  const Tensor products = x.index_select(-1, pairs[0]) * x.index_select(-1, pairs[1]) * std::numbers::sqrt2;
  return torch::cat({x * x, products}, -1);
}

std::vector<Tensor> packed_squares_composite(const Core& /*core*/, const std::vector<Tensor>& operands,
                                             std::vector<Tensor>& /*states*/) {
  return {packed_squares(operands[0])};
}

}  // namespace rebased
