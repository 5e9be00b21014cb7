#include "nn/model_config.h"

#include "base/error.h"
#include "nn/mixers/registry.h"

namespace rebased {
namespace {

// {"type": NAME, options...} with the options resolved.
Json resolve_mixer(const Json& mixer, const std::string& where) {
  if (!mixer.is_object() || !mixer.contains("type") || !mixer["type"].is_string()) {
    throw ConfigError("{}: expected a table with type = \"NAME\", found {}", where, mixer.dump());
  }
  const auto name = mixer["type"].get<std::string>();
  Json options = mixer;
  options.erase("type");
  Json resolved{{"type", name}};
  resolved.update(find_mixer(name, where + ".type").resolve(options, where));
  return resolved;
}

}  // namespace

ModelConfig model_config_from_json(const Json& document, std::string_view where) {
  auto config = options_from_json<ModelConfig>(document, where);
  if (config.mixers.empty()) throw ConfigError("{}.mixers: at least one is needed", where);
  if (config.state_mixers.empty()) throw ConfigError("{}.state_mixers: at least one is needed", where);
  for (size_t i = 0; i < config.mixers.size(); ++i) {
    config.mixers[i] = resolve_mixer(config.mixers[i], fmt::format("{}.mixers.{}", where, i));
  }
  return config;
}

}  // namespace rebased
