#include "nn/mixers/rebased.h"

#include <cmath>

#include "cores/linear_attention/linear_attention.h"
#include "cores/norm/norm.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "nn/positions.h"

namespace rebased {
namespace {

constexpr QuadraticKernel kSquare{.a = 0, .b = 0, .c = 1};

}  // namespace

RebasedMixer::RebasedMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      options_(options),
      heads_(scope, setup.d_model, options.num_heads, options.feature_dim,
             value_dim_of(options.head_dim, setup.d_model, options.num_heads, scope.prefix())) {
  if (options.norm == "joint") {
    query_ = declare_affine(scope.child("ln_q"), options.num_heads * options.feature_dim);
    key_ = declare_affine(scope.child("ln_k"), options.num_heads * options.feature_dim);
  } else {
    query_ = key_ = declare_affine(scope.child("ln_qk"), options.feature_dim);
  }
}

RebasedMixer::Affine RebasedMixer::declare_affine(const Scope& scope, int64_t channels) const {
  Affine affine;
  if (options_.use_gamma) affine.gamma = &scope.gain_or_bias("weight", Shape({channels}), init::constant(1));
  if (options_.use_beta) affine.beta = &scope.gain_or_bias("bias", Shape({channels}), init::constant(0));
  return affine;
}

// Without `normalize` the affine map acts on the raw projections. The published code crashes for four of the eight
// switch combinations; here each means what its switches say, with LayerNorm's variance (docs/mixers/rebased.md).
Value RebasedMixer::shape_scores(const Value& x, const Affine& affine) const {
  Value y = options_.norm == "joint" ? x : heads_.split(x);
  const Value gamma = value_or_empty(affine.gamma);
  const Value beta = value_or_empty(affine.beta);
  if (options_.normalize) {
    y = layer_norm(y, gamma, beta, options_.norm_eps);
  } else {
    if (gamma) y = mul(y, gamma);
    if (beta) y = add(y, beta);
  }
  return options_.norm == "joint" ? heads_.split(y) : y;
}

Value RebasedMixer::attend(const Value& q, const Value& k, const Value& v, const Context& ctx, const Value& documents,
                           LinearState* state, const std::vector<int64_t>& queries) const {
  const double scale = options_.use_scale ? 1 / std::sqrt(static_cast<double>(options_.feature_dim)) : 1;
  if (options_.similarity == "score_square") {
    return quadratic_attention(q, k, v,
                               {.kernel = kSquare,
                                .scale = scale,
                                .eps = options_.eps,
                                .normalize = options_.normalize_output,
                                .form = ctx.form,
                                .chunk = ctx.chunk,
                                .queries = queries},
                               state, documents);
  }
  return linear_attention(unary(UnaryOp::kSquare, q), unary(UnaryOp::kSquare, k), v,
                          {.scale = scale * scale,
                           .eps = options_.eps,
                           .normalize = options_.normalize_output,
                           .form = ctx.form,
                           .chunk = ctx.chunk},
                          state, documents);
}

MixerOutput RebasedMixer::run(const Value& x, const Context& ctx, MixerState* state) {
  return mix(x, x, ctx, state, {});
}

MixerOutput RebasedMixer::run_outputs(const Value& x, const Context& ctx, MixerState* state) {
  if (options_.similarity != "score_square" ||
      !heads_.prefers_few_queries(x, ctx, state, options_.feature_dim, kSquare)) {
    return SequenceMixer::run_outputs(x, ctx, state);
  }
  return mix(tokens_of(x, ctx.outputs), x, ctx, nullptr, ctx.outputs);
}

MixerOutput RebasedMixer::mix(const Value& asking, const Value& x, const Context& ctx, MixerState* state,
                              const std::vector<int64_t>& queries) const {
  const Value q = shape_scores(heads_.query(asking), query_);
  const Value k = shape_scores(heads_.key(x), key_);
  const Value v = heads_.value(x);
  ctx.observe(path() + ".q", q);
  ctx.observe(path() + ".k", k);
  ctx.observe(path() + ".v", v);
  const Value documents = document_positions(x, ctx, state);
  const Value o =
      with_linear_state(state, [&](LinearState* sums) { return attend(q, k, v, ctx, documents, sums, queries); });
  return {heads_.output(o), {}};
}

int64_t RebasedMixer::state_features() const {
  const int64_t d = options_.feature_dim;
  return options_.similarity == "score_square" ? d * (d + 1) / 2 : d;
}

std::vector<StateArray> RebasedMixer::state_arrays(int64_t) const { return heads_.state_arrays(state_features()); }

}  // namespace rebased
