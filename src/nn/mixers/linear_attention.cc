#include "nn/mixers/linear_attention.h"

#include <cmath>

namespace rebased {

LinearAttentionMixer::LinearAttentionMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      options_(options),
      heads_(scope, setup.d_model, options.num_heads, options.feature_dim,
             value_dim_of(options.head_dim, setup.d_model, options.num_heads, scope.prefix())) {
  if (options.feature_map.tie) {
    map_q_ = map_k_ = FeatureMap(options.feature_map, scope.child("feature_map"), options.feature_dim);
  } else {
    map_q_ = FeatureMap(options.feature_map, scope.child("feature_map_q"), options.feature_dim);
    map_k_ = FeatureMap(options.feature_map, scope.child("feature_map_k"), options.feature_dim);
  }
  if (options.output_norm) {
    output_norm_ = Norm(scope.child("norm"), NormKind::kRms, heads_.value_dim(), options.output_norm_eps);
  }
}

MixerOutput LinearAttentionMixer::run(const Value& x, const Context& ctx, MixerState* state) {
  const Value q = map_q_(heads_.split(heads_.query(x)));
  const Value k = map_k_(heads_.split(heads_.key(x)));
  const Value v = heads_.value(x);
  ctx.observe(path() + ".q", q);
  ctx.observe(path() + ".k", k);
  ctx.observe(path() + ".v", v);
  const LinearOptions attention{
      .scale = options_.use_scale ? 1 / std::sqrt(static_cast<double>(options_.feature_dim)) : 1,
      .eps = options_.eps,
      .normalize = options_.normalize,
      .form = ctx.form,
      .chunk = ctx.chunk};
  Value o = with_linear_state(state, [&](LinearState* sums) { return linear_attention(q, k, v, attention, sums); });
  if (options_.output_norm) o = output_norm_(o);
  return {heads_.output(o), {}};
}

MixerState LinearAttentionMixer::initial_state(Engine& engine, int64_t batch) const {
  return heads_.initial_state(engine, batch, map_q_.size());
}

int64_t LinearAttentionMixer::state_bytes(int64_t batch, int64_t) const {
  return heads_.state_bytes(batch, map_q_.size());
}

}  // namespace rebased
