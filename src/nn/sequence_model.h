#pragma once

#include <memory>
#include <span>
#include <vector>

#include "nn/head.h"
#include "nn/input.h"
#include "nn/model.h"
#include "nn/model_config.h"
#include "nn/trunk.h"

namespace rebased {

// An input, learned positions where the config has them, a trunk and a head.
class SequenceModel : public Model {
 public:
  explicit SequenceModel(ModelConfig config);

  const ModelConfig& config() const { return config_; }
  const std::vector<std::unique_ptr<Block>>& blocks() const { return trunk_->blocks(); }

  ModelLoss loss(const Batch& batch, const Context& ctx, ModelState* state = nullptr) override;
  // Behind the last block, before the final norm: [B, T, C], or [B, N, C] of ctx.outputs. The batch's layout, where it
  // has one, takes the place of the context's.
  Value hidden(const Batch& batch, const Context& ctx, ModelState* state, Value* aux_loss = nullptr);
  // [..., C] -> [..., V]: final norm and head.
  Value logits(const Value& hidden) const { return head_->logits(hidden); }

  // The same of token ids [B, T] that lie on the engine.
  ModelLoss loss(const Value& tokens, std::span<const int64_t> targets, const Context& ctx,
                 ModelState* state = nullptr);
  Value hidden(const Value& tokens, const Context& ctx, ModelState* state, Value* aux_loss = nullptr);

  ModelState initial_state(Engine& engine, int64_t batch) const override {
    return trunk_->initial_state(engine, batch);
  }
  int64_t state_bytes(int64_t batch, int64_t tokens) const override { return trunk_->state_bytes(batch, tokens); }
  void after_step(int64_t step, uint64_t key) override { trunk_->after_step(step, key); }

 private:
  Value placed(const Value& x, const Context& ctx, const ModelState* state) const;  // with learned positions
  Value look_up(const Value& tokens) const;
  ModelLoss answer(const Value& x, std::span<const int64_t> targets, const Context& ctx, ModelState* state);

  ModelConfig config_;
  std::unique_ptr<Input> input_;
  Param* position_embeddings_ = nullptr;
  std::unique_ptr<Trunk> trunk_;
  std::unique_ptr<Head> head_;
};

}  // namespace rebased
