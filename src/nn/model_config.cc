#include "nn/model_config.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "nn/mixers/registry.h"
#include "nn/model_size.h"

namespace rebased {
ModelConfig model_config_from_json(const Json& document, std::string_view where) {
  auto config = options_from_json<ModelConfig>(document, where);
  if (config.mixers.empty()) throw ConfigError("{}.mixers: at least one is needed", where);
  if (config.state_mixers.empty()) throw ConfigError("{}.state_mixers: at least one is needed", where);
  for (size_t i = 0; i < config.mixers.size(); ++i) {
    config.mixers[i] = resolve_mixer(config.mixers[i], fmt::format("{}.mixers.{}", where, i));
  }
  const double parameters = parameter_count(config, where);
  check_memory(parameters * sizeof(float), fmt::format("{}: {:.0f} parameters", where, parameters), kAddressSpace);
  return config;
}

void require_language_model(const ModelConfig& config, std::string_view where) {
  if (config.input.type == "tokens" && config.head.type == "tokens") return;
  throw ConfigError("{}: expected a model from tokens to tokens, found one from {} to {}", where, config.input.type,
                    config.head.type);
}

void complete_saved_config(Json& document, const ShapeOf& shape_of) {
  if (!document.is_object() || !document.contains("mixers") || !document["mixers"].is_array()) return;
  Json& mixers = document["mixers"];
  for (size_t layer = 0; layer < mixers.size(); ++layer) {  // the first layer that takes it
    Json& mixer = mixers[layer];
    if (!mixer.is_object() || !mixer.contains("type")) continue;
    const auto& entries = mixer_registry();
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [&](const MixerEntry& candidate) { return mixer["type"] == candidate.name; });
    if (entry == entries.end()) continue;
    entry->complete(mixer,
                    [&](const std::string& name) { return shape_of(fmt::format("layers.{}.mixer.{}", layer, name)); });
  }
}

ModelConfig model_config_of(const ModelFolder& folder) {
  Json document = folder.config;
  complete_saved_config(document, [&](const std::string& name) -> std::optional<Shape> {
    if (const TensorView* tensor = folder.tensors.find(name)) return tensor->shape;
    return std::nullopt;
  });
  return model_config_from_json(document, folder.path + "/config.json");
}

}  // namespace rebased
