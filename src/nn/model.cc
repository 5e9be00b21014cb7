#include "nn/model.h"

#include "base/error.h"

namespace rebased {

int64_t ModelState::bytes() const {
  int64_t total = 0;
  for (const MixerState& layer : layers) total += layer.bytes();
  return total;
}

ModelState ModelState::clone() const {
  ModelState result;
  for (const MixerState& layer : layers) result.layers.push_back(layer.clone());
  return result;
}

ModelState ModelState::select(std::span<const int64_t> rows) const {
  ModelState result;
  for (const MixerState& layer : layers) result.layers.push_back(layer.select(rows));
  return result;
}

ModelState ModelState::join(std::span<const ModelState> states) {
  ModelState result;
  for (size_t layer = 0; layer < (states.empty() ? 0 : states.front().layers.size()); ++layer) {
    std::vector<MixerState> same;
    for (const ModelState& state : states) {
      if (state.layers.size() != states.front().layers.size())
        throw ShapeError("states of {} and {} layers cannot be joined", states.front().layers.size(),
                         state.layers.size());
      same.push_back(state.layers[layer]);
    }
    result.layers.push_back(MixerState::join(same));
  }
  return result;
}

void ModelState::reset_rows(std::span<const int64_t> rows) {
  for (MixerState& layer : layers) layer.reset_rows(rows);
}

void ModelState::detach() {
  for (MixerState& layer : layers) layer.detach();
}

Engine& Model::engine() const {
  if (parameters_.params().empty() || !parameters_.params().front().value)
    throw Error("the model's parameters have no values yet");
  return parameters_.params().front().value.engine();
}

}  // namespace rebased
