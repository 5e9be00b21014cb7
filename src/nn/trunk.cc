#include "nn/trunk.h"

#include "base/error.h"
#include "cores/dropout/dropout.h"

namespace rebased {

Trunk::Trunk(const ModelConfig& config, const Scope& scope, const MakeMixer& make_mixer)
    : path_(scope.prefix()), resid_dropout_(config.resid_dropout) {
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    const Scope own = scope.child(fmt::format("layers.{}", layer));
    blocks_.push_back(
        std::make_unique<Block>(config, own, layer, make_mixer ? make_mixer(own.child("mixer"), layer) : nullptr));
  }
}

Value Trunk::forward(const Value& x, const Context& ctx, ModelState* state, Value* aux_loss) const {
  if (state != nullptr && state->layers.size() != blocks_.size())
    throw ShapeError("[model] state: expected {} layers, found {}", blocks_.size(), state->layers.size());
  const std::string prefix = path_.empty() ? "" : path_ + ".";
  Context inner = ctx;
  inner.outputs.clear();
  Stream stream{x, {}};
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    MixerState* own = state != nullptr ? &state->layers[layer] : nullptr;
    stream = blocks_[layer]->forward(stream, layer + 1 < blocks_.size() ? inner : ctx, own, aux_loss);
    ctx.observe(fmt::format("{}layers.{}.hidden", prefix, layer), stream.hidden);
  }
  const Value last =
      ctx.training ? dropout(stream.hidden, resid_dropout_, ctx.dropout_stream(prefix + "dropout_f")) : stream.hidden;
  return stream.residual ? add(last, stream.residual) : last;
}

ModelState Trunk::initial_state(Engine& engine, int64_t batch) const {
  ModelState state;
  for (const auto& block : blocks_) state.layers.push_back(block->mixer().initial_state(engine, batch));
  return state;
}

int64_t Trunk::state_bytes(int64_t batch, int64_t tokens) const {
  int64_t total = 0;
  for (const auto& block : blocks_) total += block->mixer().state_bytes(batch, tokens);
  return total;
}

void Trunk::after_step(int64_t step, uint64_t key) {
  for (const auto& block : blocks_) block->mixer().after_step(step, key);
}

}  // namespace rebased
