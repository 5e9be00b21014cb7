#pragma once

#include <memory>

#include "nn/layers.h"
#include "nn/model_config.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// The residual stream between blocks: what the last part put out and what it is to be added to (absent at first).
struct Stream {
  Value hidden;    // [B, T, C]; [B, N, C] behind a block that was asked for Context::outputs
  Value residual;  // the same, or empty
};

// Sequence mixer and state mixer around a residual stream, in the order of zoology's TransformerBlock
// (arXiv:2312.04927):
//   pre-norm:  r += drop1(h); h = mixer(norm1 r); r += drop2(h); h = state_mixer(norm2 r); the sum is left to the next
//   block post-norm: h = norm1(drop1(mixer h) + h); h = norm2(drop2(state_mixer h) + h)
// With an identity state mixer a pre-norm block so adds norm2(r) to the stream: that is what the published models do.
class Block {
 public:
  // mixer: declared in scope.child("mixer"); null: the one that the config has for this layer.
  Block(const ModelConfig& config, const Scope& scope, int64_t layer, std::unique_ptr<SequenceMixer> mixer = nullptr);

  Stream forward(Stream stream, const Context& ctx, MixerState* state, Value* aux_loss);
  SequenceMixer& mixer() { return *mixer_; }
  const SequenceMixer& mixer() const { return *mixer_; }

 private:
  Stream pre_norm(const Stream& in, const Context& ctx, MixerState* state, Value* aux_loss);
  Stream post_norm(const Stream& in, const Context& ctx, MixerState* state, Value* aux_loss);
  Value mix(const Value& x, const Context& ctx, MixerState* state, Value* aux_loss);
  Value drop(const Value& x, double p, const Context& ctx, const char* place) const;

  std::string path_;
  bool pre_norm_;
  double dropout1_, dropout2_;
  std::unique_ptr<SequenceMixer> mixer_;
  std::unique_ptr<StateMixer> state_mixer_;
  Norm norm1_, norm2_;
};

}  // namespace rebased
