#include "nn/mixers/based.h"

#include <cmath>

#include "base/error.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "cores/rope/rope.h"
#include "nn/positions.h"

namespace rebased {
namespace {

constexpr QuadraticKernel kTaylor{.a = 1, .b = 1, .c = 0.5};

}  // namespace

BasedMixer::BasedMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      options_(options),
      heads_(scope, setup.d_model, options.num_heads, options.feature_dim,
             value_dim_of(options.head_dim, setup.d_model, options.num_heads, scope.prefix())) {
  if (options.rope_base > 0 && options.feature_dim % 2 != 0) {
    throw ConfigError("{}: rotary positions need an even feature_dim, found {}", path(), options.feature_dim);
  }
  if (options.qk_norm) {
    const int64_t width = options.num_heads * options.feature_dim;
    norm_q_ = Norm(scope.child("ln_q"), NormKind::kLayer, width, options.norm_eps);
    norm_k_ = Norm(scope.child("ln_k"), NormKind::kLayer, width, options.norm_eps);
  }
}

MixerOutput BasedMixer::run(const Value& x, const Context& ctx, MixerState* state) { return mix(x, x, ctx, state, {}); }

MixerOutput BasedMixer::run_outputs(const Value& x, const Context& ctx, MixerState* state) {
  if (!heads_.prefers_few_queries(x, ctx, state, options_.feature_dim, kTaylor)) {
    return SequenceMixer::run_outputs(x, ctx, state);
  }
  return mix(tokens_of(x, ctx.outputs), x, ctx, nullptr, ctx.outputs);
}

MixerOutput BasedMixer::mix(const Value& asking, const Value& x, const Context& ctx, MixerState* state,
                            const std::vector<int64_t>& queries) const {
  Value q = heads_.split(options_.qk_norm ? norm_q_(heads_.query(asking)) : heads_.query(asking));
  Value k = heads_.split(options_.qk_norm ? norm_k_(heads_.key(x)) : heads_.key(x));
  const Value v = heads_.value(x);
  if (options_.rope_base > 0) {
    const Value positions = token_positions(x, ctx, state);
    const Value asked = queries.empty() ? positions : positions_of(x, queries);
    q = rope(q, asked, {.base = options_.rope_base});
    k = rope(k, positions, {.base = options_.rope_base});
  }
  ctx.observe(path() + ".q", q);
  ctx.observe(path() + ".k", k);
  ctx.observe(path() + ".v", v);
  const QuadraticOptions attention{.kernel = kTaylor,
                                   .scale = 1 / std::sqrt(static_cast<double>(options_.feature_dim)),
                                   .eps = options_.eps,
                                   .form = ctx.form,
                                   .chunk = ctx.chunk,
                                   .queries = queries};
  const Value documents = document_positions(x, ctx, state);
  const Value o = with_linear_state(
      state, [&](LinearState* sums) { return quadratic_attention(q, k, v, attention, sums, documents); });
  return {heads_.output(o), {}};
}

int64_t BasedMixer::state_features() const { return kernels::quadratic_feature_count(options_.feature_dim, kTaylor); }

std::vector<StateArray> BasedMixer::state_arrays(int64_t) const { return heads_.state_arrays(state_features()); }

}  // namespace rebased
