#include "nn/model_size.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "nn/sequence_model.h"

namespace rebased {
namespace {

double count_numbers(const ParameterStore& store) {
  double count = 0;
  for (const Param& param : store.params()) {
    double numbers = 1;
    for (const int64_t extent : param.spec.shape) numbers *= static_cast<double>(extent);
    count += numbers;
  }
  return count;
}

double count_layer(const ModelConfig& config, std::string_view where, int64_t layer) {
  ParameterStore store;
  const Scope scope(store, fmt::format("{}.layers.{}", where, layer), config.init_std, config.init_std);
  const Block block(config, scope, layer);
  return count_numbers(store);
}

}  // namespace

double parameter_count(const ModelConfig& config, std::string_view where) {
  ModelConfig without_layers = config;
  without_layers.n_layers = 0;
  double count = count_numbers(SequenceModel(without_layers).parameters());
  const auto kinds = static_cast<int64_t>(std::lcm(config.mixers.size(), config.state_mixers.size()));
  for (int64_t layer = 0; layer < std::min(kinds, config.n_layers); ++layer) {
    const int64_t alike = (config.n_layers - layer + kinds - 1) / kinds;
    count += static_cast<double>(alike) * count_layer(config, where, layer);
  }
  return count;
}

}  // namespace rebased
