#include "nn/block.h"

#include "cores/dropout/dropout.h"
#include "cores/norm/norm.h"
#include "nn/mixers/registry.h"
#include "nn/positions.h"

namespace rebased {
namespace {

template <class T>
const T& repeating(const std::vector<T>& pattern, int64_t layer) {
  return pattern[static_cast<size_t>(layer) % pattern.size()];
}

// The tokens whose outputs are asked for.
Value wanted(const Value& x, const Context& ctx) { return ctx.outputs.empty() ? x : tokens_of(x, ctx.outputs); }

}  // namespace

Block::Block(const ModelConfig& config, const Scope& scope, int64_t layer, std::unique_ptr<SequenceMixer> mixer)
    : path_(scope.prefix()),
      pre_norm_(config.pre_norm),
      dropout1_(layer == 0 ? config.embed_dropout : config.resid_dropout),
      dropout2_(config.resid_dropout) {
  const NormKind kind = norm_kind(config.norm);
  norm1_ = Norm(scope.child("norm1"), kind, config.d_model, config.norm_eps, config.affine_norm, config.affine_norm);
  mixer_ = mixer != nullptr ? std::move(mixer)
                            : build_mixer(repeating(config.mixers, layer), scope.child("mixer"),
                                          {.d_model = config.d_model,
                                           .layer = layer,
                                           .n_layers = config.n_layers,
                                           .max_tokens = config.max_tokens});
  norm2_ = Norm(scope.child("norm2"), kind, config.d_model, config.norm_eps, config.affine_norm, config.affine_norm);
  state_mixer_ = make_state_mixer(repeating(config.state_mixers, layer), scope.child("state_mixer"), config.d_model);
}

Stream Block::forward(Stream stream, const Context& ctx, MixerState* state, Value* aux_loss) {
  return pre_norm_ ? pre_norm(stream, ctx, state, aux_loss) : post_norm(stream, ctx, state, aux_loss);
}

Stream Block::pre_norm(const Stream& in, const Context& ctx, MixerState* state, Value* aux_loss) {
  const SumAndNorm before = norm1_(drop(in.hidden, dropout1_, ctx, ".dropout1"), in.residual);
  const Value mixed = mix(before.norm, ctx, state, aux_loss);
  const SumAndNorm behind = norm2_(drop(mixed, dropout2_, ctx, ".dropout2"), wanted(before.sum, ctx));
  return {state_mixer_->forward(behind.norm), behind.sum};
}

Stream Block::post_norm(const Stream& in, const Context& ctx, MixerState* state, Value* aux_loss) {
  const Value mixed = mix(in.hidden, ctx, state, aux_loss);
  const Value h = norm1_(add(drop(mixed, dropout1_, ctx, ".dropout1"), wanted(in.hidden, ctx)));
  return {norm2_(add(drop(state_mixer_->forward(h), dropout2_, ctx, ".dropout2"), h)), {}};
}

Value Block::mix(const Value& x, const Context& ctx, MixerState* state, Value* aux_loss) {
  MixerOutput output = mixer_->forward(x, ctx, state);
  if (output.aux_loss && aux_loss != nullptr) *aux_loss = *aux_loss ? add(*aux_loss, output.aux_loss) : output.aux_loss;
  return output.y;
}

Value Block::drop(const Value& x, double p, const Context& ctx, const char* place) const {
  return ctx.training ? dropout(x, p, ctx.dropout_stream(path_ + place)) : x;
}

}  // namespace rebased
