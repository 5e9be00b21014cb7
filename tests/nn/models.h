#pragma once

#include "nn/sequence_model.h"

namespace rebased::testing {

inline ModelConfig config_from(const Json& json) { return model_config_from_json(json, "model.json"); }

inline SequenceModel model_from(const Json& json) { return SequenceModel(config_from(json)); }

}  // namespace rebased::testing
