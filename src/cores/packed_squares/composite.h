#pragma once

#include <torch/torch.h>

namespace rebased {

torch::Tensor packed_squares(const torch::Tensor& x);  // [..., D] -> [..., D(D+1)/2]

}  // namespace rebased
