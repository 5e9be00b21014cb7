#include "nn/mixers/retnet.h"

#include <cmath>

#include "base/error.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/rope/rope.h"
#include "engine/engine.h"
#include "nn/positions.h"

namespace rebased {
namespace {

// RoPE turns pair i of n by base^(-i / n): with base^(n / (n - 1)) the last pair is at 1 / base.
double base_of(const RetNetMixer::Options& options, int64_t pairs) {
  if (!options.rope_endpoint || pairs == 1) return options.rope_base;
  const auto n = static_cast<double>(pairs);
  return std::pow(options.rope_base, n / (n - 1));
}

Value log_decays(Engine& engine, DType dtype, int64_t heads, double first) {
  std::vector<double> logs;
  for (int64_t h = 0; h < heads; ++h) logs.push_back(std::log1p(-std::exp2(-first - static_cast<double>(h))));
  return engine.from_host(logs.data(), DType::kF64, Shape({heads}), dtype);
}

// The state's sums, given away while a core runs so that it may advance them in place.
class Sums {
 public:
  explicit Sums(MixerState* state) : home_(state != nullptr ? &(*state)["s"] : nullptr) {
    if (home_ != nullptr) sums_.s = std::move(*home_);
  }
  ~Sums() {
    if (home_ != nullptr) *home_ = std::move(sums_.s);
  }
  Sums(const Sums&) = delete;
  Sums& operator=(const Sums&) = delete;
  LinearState* get() { return home_ != nullptr ? &sums_ : nullptr; }

 private:
  Value* home_;
  LinearState sums_;
};

}  // namespace

RetNetMixer::RetNetMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      options_(options),
      key_dim_(options.key_dim > 0 ? options.key_dim : setup.d_model / options.num_heads),
      value_dim_(options.value_dim > 0 ? options.value_dim : 2 * key_dim_) {
  if (key_dim_ == 0) {
    throw ConfigError("{}: {} channels leave nothing for each of {} heads; set key_dim", path(), setup.d_model,
                      options.num_heads);
  }
  if (options.rope_base > 0 && key_dim_ % 2 != 0)
    throw ConfigError("{}: rotary positions need an even key_dim, found {}", path(), key_dim_);
  const int64_t C = setup.d_model;
  const int64_t keys = checked_width(options.num_heads * key_dim_, path() + ": the width of all heads of q");
  const int64_t values = checked_width(options.num_heads * value_dim_, path() + ": the width of all heads of v");
  proj_q_ = Linear(scope.child("proj_q"), C, keys, false);
  proj_k_ = Linear(scope.child("proj_k"), C, keys, false);
  proj_v_ = Linear(scope.child("proj_v"), C, values, false);
  if (options.gate) proj_g_ = Linear(scope.child("proj_g"), C, values, false);
  out_proj_ = Linear(scope.child("out_proj"), values, C, false, scope.residual_std());
  norm_ = Norm(scope.child("norm"), NormKind::kRms, value_dim_, options.norm_eps, options.norm_weight);
}

Value RetNetMixer::rotated(const Value& x, const Value& positions) const {
  const Value heads = split_heads(x, options_.num_heads);
  return options_.rope_base > 0 ? rope(heads, positions, {.base = base_of(options_, key_dim_ / 2)}) : heads;
}

MixerOutput RetNetMixer::run(const Value& x, const Context& ctx, MixerState* state) {
  const Value positions = token_positions(x, ctx, state);
  const Value q = rotated(proj_q_(x), positions), k = rotated(proj_k_(x), positions);
  const Value v = split_heads(proj_v_(x), options_.num_heads);
  ctx.observe(path() + ".q", q);
  ctx.observe(path() + ".k", k);
  ctx.observe(path() + ".v", v);
  const LinearDecay decay{log_decays(x.engine(), x.dtype(), options_.num_heads, options_.first_decay), {}};
  const LinearOptions retention{
      .scale = 1 / std::sqrt(static_cast<double>(key_dim_)), .normalize = false, .form = ctx.form, .chunk = ctx.chunk};
  Sums sums(state);
  Value o =
      merge_heads(norm_(linear_attention(q, k, v, decay, retention, sums.get(), document_positions(x, ctx, state))));
  if (options_.gate) o = mul(unary(UnaryOp::kSilu, proj_g_(x)), o);
  return {out_proj_(o), {}};
}

std::vector<StateArray> RetNetMixer::state_arrays(int64_t /*tokens*/) const {
  return {{"s", Shape({options_.num_heads, key_dim_, value_dim_})}};
}

}  // namespace rebased
