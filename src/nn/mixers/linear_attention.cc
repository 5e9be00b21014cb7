#include "nn/mixers/linear_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cores/linear_attention/linear_attention.h"
#include "nn/positions.h"

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

namespace {

// Outputs of every token against the sums over the keys of its row's prefix: one pass to sum them, one of queries
// alone, whose zero keys add nothing. Taken inside the prefix; behind it stands the causal output.
Value with_prefix(const Value& causal, const Value& q, const Value& k, const Value& v, const LinearOptions& attention,
                  const Layout& layout) {
  Engine& engine = q.engine();
  const int64_t B = q.size(0), T = q.size(1), H = q.size(2);
  std::vector<float> mask(static_cast<size_t>(B * T * H), 0.0f);
  for (const Layout::Document& row : layout.documents()) {
    const int64_t M = std::max<int64_t>(row.prefix, 1);  // token 0 sees itself either way
    std::fill_n(mask.begin() + row.row * T * H, M * H, 1.0f);
  }
  const Value inside = engine.from_host(mask.data(), DType::kF32, Shape({B, T, H, 1}), q.dtype());
  LinearState sums{engine.full(Shape({B, H, q.size(3), v.size(3)}), q.dtype(), 0),
                   engine.full(Shape({B, H, q.size(3)}), q.dtype(), 0)};
  linear_attention(q, mul(k, inside), v, attention, &sums);
  const Value seen = linear_attention(q, scale_shift(k, 0), v, attention, &sums);
  return add(mul(seen, inside), mul(causal, scale_shift(inside, -1, 1)));
}

}  // namespace

double LinearAttentionMixer::scale() const {
  if (!options_.use_scale) return 1;
  return 1 / std::sqrt(static_cast<double>(options_.scale_by_map ? map_q_.size() : options_.feature_dim));
}

MixerOutput LinearAttentionMixer::run(const Value& x, const Context& ctx, MixerState* state) {
  const Value q = map_q_(heads_.split(heads_.query(x)));
  const Value k = map_k_(heads_.split(heads_.key(x)));
  const Value v = heads_.value(x);
  ctx.observe(path() + ".q", q);
  ctx.observe(path() + ".k", k);
  ctx.observe(path() + ".v", v);
  const LinearOptions attention{
      .scale = scale(), .eps = options_.eps, .normalize = options_.normalize, .form = ctx.form, .chunk = ctx.chunk};
  const Value documents = document_positions(x, ctx, state);
  Value o = with_linear_state(state,
                              [&](LinearState* sums) { return linear_attention(q, k, v, attention, sums, documents); });
  if (ctx.layout != nullptr && ctx.layout->has_prefix()) o = with_prefix(o, q, k, v, attention, *ctx.layout);
  if (options_.output_norm) o = output_norm_(o);
  return {heads_.output(o), {}};
}

std::vector<StateArray> LinearAttentionMixer::state_arrays(int64_t) const { return heads_.state_arrays(map_q_.size()); }

}  // namespace rebased
