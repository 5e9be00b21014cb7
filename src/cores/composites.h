#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/core.h"

namespace rebased {

// The composed form of a core: plain torch, differentiable, any dtype, any device. Operands as in the core's signature,
// undefined where absent; states (none or all) are replaced by the advanced ones. Returns the results.
using Composite = std::vector<torch::Tensor> (*)(const Core& core, const std::vector<torch::Tensor>& operands,
                                                 std::vector<torch::Tensor>& states);

// FOLDER_composite of cores/FOLDER/torch.cc. Throws DeviceError where there is none.
Composite composite_of(const Core& core);

}  // namespace rebased
