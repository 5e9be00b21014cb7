#include "nn/mixers/softmax_mixer.h"

#include <array>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "cores/rope/rope.h"
#include "cores/softmax_attention/softmax_attention.h"
#include "engine/engine.h"
#include "nn/positions.h"

namespace rebased {
namespace {

int64_t rotary_channels(const SoftmaxOptions& options, int64_t head_dim, const std::string& path) {
  const auto rotary = static_cast<int64_t>(std::lround(options.rope_fraction * static_cast<double>(head_dim)));
  if (options.rope_fraction > 0 && rotary == 0) {
    throw ConfigError("{}.rope_fraction: {} of {} channels leaves none to rotate", path, options.rope_fraction,
                      head_dim);
  }
  if (rotary % 2 != 0) {
    throw ConfigError("{}.rope_fraction: {} of {} channels is {}, an even number is needed", path,
                      options.rope_fraction, head_dim, rotary);
  }
  return rotary;
}

// positions [B, T] of the tokens [B, N].
std::vector<int64_t> positions_at(const std::vector<int64_t>& positions, int64_t T,
                                  const std::vector<int64_t>& tokens) {
  const size_t N = tokens.size() / (positions.size() / static_cast<size_t>(T));
  std::vector<int64_t> found(tokens);
  for (size_t i = 0; i < found.size(); ++i) {
    found[i] = positions[i / N * static_cast<size_t>(T) + static_cast<size_t>(tokens[i])];
  }
  return found;
}

}  // namespace

SoftmaxMixer::SoftmaxMixer(const SoftmaxOptions& options, int64_t window, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      options_(options),
      window_(window),
      kv_heads_(options.num_kv_heads > 0 ? options.num_kv_heads : options.num_heads),
      head_dim_(options.head_dim > 0 ? options.head_dim : setup.d_model / options.num_heads) {
  if (options.num_heads % kv_heads_ != 0) {
    throw ConfigError("{}.num_kv_heads: {} heads cannot share {} evenly", path(), options.num_heads, kv_heads_);
  }
  if (head_dim_ == 0)
    throw ConfigError("{}: {} channels leave nothing for each of {} heads", path(), setup.d_model, options.num_heads);
  rotary_channels(options_, head_dim_, path());
  const int64_t width =
      checked_width((options.num_heads + 2 * kv_heads_) * head_dim_, path() + ": the width of all heads of q, k and v");
  wqkv_ = Linear(scope.child("Wqkv"), setup.d_model, width, options.qkv_bias);
  out_proj_ = Linear(scope.child("out_proj"), options.num_heads * head_dim_, setup.d_model, options.out_bias,
                     scope.residual_std());
  if (options.qk_norm) {
    norm_q_ = Norm(scope.child("q_norm"), NormKind::kRms, head_dim_, options.qk_norm_eps);
    norm_k_ = Norm(scope.child("k_norm"), NormKind::kRms, head_dim_, options.qk_norm_eps);
  }
}

Value SoftmaxMixer::rotated(const Value& x, const Value& positions) const {
  if (options_.rope_fraction == 0) return x;
  return rope(x, positions, {.rotary = rotary_channels(options_, head_dim_, path()), .base = options_.rope_base});
}

MixerOutput SoftmaxMixer::run(const Value& x, const Context& ctx, MixerState* state) { return mix(x, ctx, state, {}); }

MixerOutput SoftmaxMixer::run_outputs(const Value& x, const Context& ctx, MixerState* state) {
  if (ctx.observer != nullptr) return SequenceMixer::run_outputs(x, ctx, state);
  return mix(x, ctx, state, ctx.outputs);
}

MixerOutput SoftmaxMixer::mix(const Value& x, const Context& ctx, MixerState* state,
                              const std::vector<int64_t>& outputs) const {
  const int64_t B = x.size(0), T = x.size(1), q_width = options_.num_heads * head_dim_,
                kv_width = kv_heads_ * head_dim_;
  const std::vector<Value> qkv = split(wqkv_(x), 2, std::array{q_width, kv_width, kv_width});
  const Value asked = outputs.empty() ? qkv[0] : tokens_of(qkv[0], outputs);
  Value q = split_heads(asked, options_.num_heads), k = split_heads(qkv[1], kv_heads_),
        v = split_heads(qkv[2], kv_heads_);
  if (options_.qk_norm) {
    q = norm_q_(q);
    k = norm_k_(k);
  }
  std::optional<Layout> whole;
  if (ctx.layout == nullptr && !options_.causal) whole = Layout::whole(B, T);
  const Layout* layout = whole ? &*whole : ctx.layout;
  const bool packed = layout != nullptr;
  const AttentionOptions attention{.scale = 1 / std::sqrt(static_cast<double>(head_dim_)),
                                   .window = packed ? 0 : window_,
                                   .additive_mask = options_.additive_mask,
                                   .dropout = ctx.training ? options_.dropout : 0,
                                   .dropout_key = ctx.dropout_stream(path())};
  Places at;
  if (packed) {
    at = places_in(*layout, state);
  } else {
    at.position = host_positions(B, T, ctx, state);
  }
  Keys keys{std::move(k), std::move(v), at.position, at.place};
  if (state != nullptr) {
    keys = packed ? remember_documents(*state, keys.k, keys.v, *layout, at)
                  : remember(*state, std::move(keys.k), std::move(keys.v), at.position);
  }
  const Value key_pos = positions_of(x, keys.position);
  const auto of_queries = [&](const std::vector<int64_t>& tokens) {
    return positions_of(x, outputs.empty() ? tokens : positions_at(tokens, T, outputs));
  };
  const Value query_pos = of_queries(at.position);
  AttentionPositions positions;
  if (packed) {
    positions = {of_queries(at.last), positions_of(x, keys.place), of_queries(at.first)};
  } else if (state != nullptr || !outputs.empty()) {
    positions = {query_pos, key_pos, {}};
  }
  q = rotated(q, query_pos);
  k = rotated(keys.k, key_pos);
  v = keys.v;
  ctx.observe(path() + ".q", q);
  ctx.observe(path() + ".k", k);
  ctx.observe(path() + ".v", v);
  return {out_proj_(merge_heads(softmax_attention(q, k, v, attention, positions))), {}};
}

MixerTraits SoftmaxMixer::softmax_traits() const {
  if (!options_.causal)
    return {.state = MixerTraits::StateKind::kNone, .causal = false, .prefix = MixerTraits::Prefix::kIndifferent};
  return {.state = MixerTraits::StateKind::kGrowing, .prefix = MixerTraits::Prefix::kHonoured};
}

std::vector<StateArray> SoftmaxMixer::cache(int64_t slots) const {
  if (!options_.causal) return {};
  const Shape vectors({slots, kv_heads_, head_dim_});
  return {
      {"k", vectors}, {"v", vectors}, {.name = "key_pos", .shape = Shape({slots}), .fresh = -1, .dtype = DType::kI64}};
}

}  // namespace rebased
