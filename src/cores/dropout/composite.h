#pragma once

#include <torch/torch.h>

namespace rebased {

// The kernel's own mask, so that every dtype and device drops the same elements.
torch::Tensor dropped(const torch::Tensor& x, double p, uint64_t key);

}  // namespace rebased
