#include "runtime/fingerprint.h"

#include "engine/cpu/cpu_engine.h"
#include "engine/cpu/cpu_value.h"
#include "nn/mixers/registry.h"
#include "runtime/digest.h"
#include "store/packed_tensors.h"

namespace rebased {
namespace {

// Options at their defaults are left out: those that a later version adds change nothing.
void add_options(Digest& digest, const std::string& place, const Json& options, const Json& defaults) {
  const Json held = options.flatten(), usual = defaults.flatten();
  for (const auto& [key, value] : held.items()) {
    if (usual.contains(key) && usual.at(key) == value) continue;
    digest.add(place + key, std::string_view(value.dump()));
  }
}

void add_config(Digest& digest, const ModelConfig& config) {
  auto without_lists = [](Json all) {
    all.erase("mixers");
    all.erase("state_mixers");
    return all;
  };
  add_options(digest, "config ", without_lists(options_to_json(config)), without_lists(options_to_json(ModelConfig{})));
  for (size_t i = 0; i < config.mixers.size(); ++i) {
    const auto type = config.mixers[i].at("type").get<std::string>();
    const std::string place = fmt::format("mixer {} ", i);
    add_options(digest, place, config.mixers[i], find_mixer(type, place).resolve(Json::object(), place));
  }
  for (size_t i = 0; i < config.state_mixers.size(); ++i) {
    Json defaults = options_to_json(StateMixerOptions{});
    defaults.erase("type");
    add_options(digest, fmt::format("state mixer {} ", i), options_to_json(config.state_mixers[i]), defaults);
  }
}

void add_value(Digest& digest, const std::string& name, const Value& value) {
  const std::string place = fmt::format("{} {} ", name, value.shape().str());
  auto add = [&](std::string_view type, const void* data, int64_t bytes) {
    digest.add(place + std::string(type), {static_cast<const std::byte*>(data), static_cast<size_t>(bytes)});
  };
  const kernels::PackedMatrix* matrix = packed(value);
  if (matrix == nullptr) return add(dtype_name(value.dtype()), floats(value), CpuEngine::bytes_held(value));
  const std::string type(packing_name(matrix->packing));
  add(type, matrix->data, kernels::packed_data_bytes(matrix->packing, matrix->O, matrix->I));
  add(type + " scales", matrix->scales, kernels::packed_scale_bytes(matrix->packing, matrix->O, matrix->I));
}

}  // namespace

std::string fingerprint(const SequenceModel& model) {
  Digest digest;
  add_config(digest, model.config());
  for (const Param& param : model.parameters().params()) add_value(digest, "parameter " + param.spec.name, param.value);
  return digest.hex();
}

}  // namespace rebased
