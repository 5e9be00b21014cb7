#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/update.h"

namespace rebased {

// An update in plain torch, on any dtype and device; without a record of it.
using UpdateComposite = void (*)(const Update& update, const std::vector<torch::Tensor>& arrays);

// FOLDER_update of updates/FOLDER/torch.cc. Throws DeviceError where there is none.
UpdateComposite composite_of(const Update& update);

}  // namespace rebased
