#pragma once

#include "nn/language_model.h"

namespace rebased::testing {

inline ModelConfig config_from(const Json& json) { return model_config_from_json(json, "model.json"); }

inline LanguageModel model_from(const Json& json) { return LanguageModel(config_from(json)); }

}  // namespace rebased::testing
