#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/core.h"

namespace rebased {

// A core's kernels as an autograd function: float32 on the CPU. Operands as in the signature, undefined where absent;
// states (none or all) are replaced by the advanced ones. Refuses to be differentiated twice.
std::vector<torch::Tensor> run_core_kernels(const CoreUse& use, const std::vector<torch::Tensor>& operands,
                                            std::vector<torch::Tensor>& states);

}  // namespace rebased
