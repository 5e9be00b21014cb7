#pragma once

#include <string_view>

#include "nn/model_config.h"

namespace rebased {

// Numbers that a model of this configuration holds, buffers too. One layer of each kind is declared, not all of them.
// Throws ConfigError where a layer cannot be built; `where` names the config.
double parameter_count(const ModelConfig& config, std::string_view where);

}  // namespace rebased
