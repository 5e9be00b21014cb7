#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "nn/block.h"
#include "nn/model.h"

namespace rebased {

// The blocks of a model: a stream [B, T, C] to a stream.
class Trunk {
 public:
  // The mixer of a layer, declared in `scope`; null: that of the config.
  using MakeMixer = std::function<std::unique_ptr<SequenceMixer>(const Scope& scope, int64_t layer)>;
  // Blocks "layers.I" below `scope`.
  Trunk(const ModelConfig& config, const Scope& scope, const MakeMixer& make_mixer = {});

  // x [B, T, C] -> [B, T, C] behind the last block, before the final norm; [B, N, C] of ctx.outputs, of which only the
  // last block knows. state: null, or continued and advanced.
  Value forward(const Value& x, const Context& ctx, ModelState* state, Value* aux_loss) const;

  const std::vector<std::unique_ptr<Block>>& blocks() const { return blocks_; }
  ModelState initial_state(Engine& engine, int64_t batch) const;
  int64_t state_bytes(int64_t batch, int64_t tokens) const;
  void after_step(int64_t step, uint64_t key);

 private:
  std::string path_;
  double resid_dropout_;
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace rebased
