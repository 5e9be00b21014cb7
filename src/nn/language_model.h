#pragma once

#include <memory>
#include <span>
#include <vector>

#include "nn/block.h"
#include "nn/model_config.h"

namespace rebased {

// States of all layers; rows are the batch.
class ModelState {
 public:
  std::vector<MixerState> layers;

  int64_t batch() const { return layers.empty() ? 0 : layers.front().batch(); }
  int64_t bytes() const;
  ModelState clone() const;
  ModelState select(std::span<const int64_t> rows) const;
  static ModelState join(std::span<const ModelState> states);
  void reset_rows(std::span<const int64_t> rows);
  void detach();
};

// Loss over labelled positions and, for each of them in row-major order, its position, negative log-likelihood and best
// id.
struct ModelLoss {
  Value loss;                      // scalar: mean cross-entropy (+ auxiliary losses)
  std::vector<int64_t> positions;  // indices into [B * T]
  std::vector<float> nll;
  std::vector<int64_t> best;
};

// Token embedding (+ learned positions), blocks, final norm, head. Declares its parameters when built: initialise or
// load them on an engine before the first pass.
class LanguageModel {
 public:
  explicit LanguageModel(ModelConfig config);

  const ModelConfig& config() const { return config_; }
  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }
  const std::vector<std::unique_ptr<Block>>& blocks() const { return blocks_; }

  // tokens [B, T] i64 -> [B, T, C] behind the last block, before the final norm; [B, N, C] of ctx.outputs, of which
  // only the last block knows. state: null, or continued and advanced.
  Value hidden(const Value& tokens, const Context& ctx, ModelState* state, Value* aux_loss = nullptr);
  // [..., C] -> [..., V]: final norm and head.
  Value logits(const Value& hidden) const;
  // labels: B * T ids, negative where nothing is asked. Throws ShapeError when no position is labelled.
  ModelLoss loss(const Value& tokens, std::span<const int64_t> labels, const Context& ctx, ModelState* state = nullptr);

  ModelState initial_state(Engine& engine, int64_t batch) const;
  int64_t state_bytes(int64_t batch, int64_t tokens) const;
  void after_step();

 private:
  Value embed(const Value& tokens, const Context& ctx, const ModelState* state) const;
  const Value& head() const;

  ModelConfig config_;
  ParameterStore parameters_;
  Param* word_embeddings_ = nullptr;
  Param* position_embeddings_ = nullptr;
  Param* lm_head_ = nullptr;
  std::vector<std::unique_ptr<Block>> blocks_;
  Norm ln_f_;
};

}  // namespace rebased
