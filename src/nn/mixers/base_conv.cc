#include "nn/mixers/base_conv.h"

#include <array>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "cores/long_conv/long_conv.h"
#include "nn/conv_state.h"

namespace rebased {
namespace {

constexpr int64_t kLagFeatures = 3;

// Features of each lag, [L, 3]: t/(L-1), cos(f w), -sin(f w) with w = 2 pi t/L and the lowest frequency f = 1e-4
// (zoology's PositionalEmbedding with one band).
void fill_lag_features(std::span<float> data, const Shape& shape, Rng&) {
  const int64_t L = shape[0];
  for (int64_t t = 0; t < L; ++t) {
    const double angle = 1e-4 * 2 * std::numbers::pi * static_cast<double>(t) / static_cast<double>(L);
    float* row = &data[static_cast<size_t>(t * kLagFeatures)];
    row[0] = L > 1 ? static_cast<float>(static_cast<double>(t) / static_cast<double>(L - 1)) : 0;
    row[1] = static_cast<float>(std::cos(angle));
    row[2] = static_cast<float>(-std::sin(angle));
  }
}

void refuse_idle_options(const BaseConvMixer::Options& options, const std::string& path) {
  const BaseConvMixer::Options defaults;
  const bool gated = options.form == "gated", is_long = options.filter != "short";
  if (is_long && options.kernel != defaults.kernel)
    throw ConfigError("{}.kernel cannot take effect with a {} filter", path, options.filter);
  if (!is_long && options.max_tokens != 0)
    throw ConfigError("{}.max_tokens cannot take effect with a short filter", path);
  if (options.filter != "implicit" && options.filter_hidden != defaults.filter_hidden)
    throw ConfigError("{}.filter_hidden cannot take effect with a {} filter", path, options.filter);
  if (!gated && options.expand != defaults.expand)
    throw ConfigError("{}.expand cannot take effect in the zoology form", path);
  if (gated && options.use_act) throw ConfigError("{}.use_act cannot take effect in the gated form", path);
}

}  // namespace

BaseConvMixer::BaseConvMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()), options_(options) {
  const bool gated = options.form == "gated";
  refuse_idle_options(options, path());
  if (gated && is_long())
    throw ConfigError("{}.filter: the gated form takes a short filter, found {}", path(), options.filter);
  if (gated && options.expand % 2 != 0)
    throw ConfigError("{}.expand: expected an even number, found {}", path(), options.expand);
  channels_ =
      gated ? checked_width(options.expand * setup.d_model / 2, path() + ": the channels by expand") : setup.d_model;
  if (gated) {
    in_proj_ = Linear(scope.child("in_proj"), setup.d_model, 2 * channels_, true);
    out_proj_ = Linear(scope.child("out_proj"), channels_, setup.d_model, true, scope.residual_std());
  } else {
    in_proj_ = Linear(scope.child("projection"), setup.d_model, setup.d_model, true);
  }
  if (is_long()) {
    if (options_.max_tokens == 0) options_.max_tokens = setup.max_tokens;
    if (options_.max_tokens == 0)
      throw ConfigError("{}.max_tokens: a {} filter needs a length", path(), options.filter);
    declare_long_filter(scope.child("conv"));
  } else {
    conv_ = ShortConv(scope.child("conv"), channels_, options.kernel, !gated, gated);
  }
}

void BaseConvMixer::declare_long_filter(const Scope& scope) {
  if (options_.filter == "long") {
    filter_ = &scope.param("filter", Shape({channels_, options_.max_tokens}), init::normal(1));
    return;
  }
  lag_features_ = &scope.buffer("lag_features", Shape({options_.max_tokens, kLagFeatures}), fill_lag_features);
  filter_in_ = Linear(scope.child("mlp.0"), kLagFeatures, options_.filter_hidden, true);
  filter_out_ = Linear(scope.child("mlp.2"), options_.filter_hidden, channels_, true);
}

void BaseConvMixer::complete_options(Json& options, const ShapeOf& shape_of) {
  if (options.contains("filter_hidden") || !options.contains("filter") || options["filter"] != "implicit") return;
  const std::optional<Shape> bias = shape_of("conv.mlp.0.bias");  // never packed
  if (bias && bias->rank() == 1) options["filter_hidden"] = (*bias)[0];
}

Value BaseConvMixer::long_filter() const {
  if (filter_ != nullptr) return filter_->value;
  return transpose(filter_out_(unary(UnaryOp::kRelu, filter_in_(lag_features_->value))));
}

MixerTraits BaseConvMixer::traits() const {
  return {.prefix = MixerTraits::Prefix::kIndifferent, .max_tokens = is_long() ? options_.max_tokens : 0};
}

std::vector<StateArray> BaseConvMixer::state_arrays(int64_t) const {
  if (!is_long()) return {conv_state(conv_)};
  return {{"inputs", Shape({options_.max_tokens, channels_})}};
}

// A long filter reaches every earlier input: the state keeps the last max_tokens of them, zeros in front, newest last.
// The published convolution adds its input once more.
Value BaseConvMixer::long_convolved(const Value& u, MixerState* state) const {
  if (state == nullptr) return add(long_conv(u, long_filter()), u);
  const int64_t T = u.size(1), L = options_.max_tokens;
  const Value parts[] = {(*state)["inputs"], u};
  const Value inputs = slice(concat(parts, 1), 1, T, L);
  (*state)["inputs"] = inputs;
  return add(slice(long_conv(inputs, long_filter()), 1, L - T, T), u);
}

Value BaseConvMixer::convolved(const Value& u, const Context& ctx, MixerState* state) const {
  return is_long() ? long_convolved(u, state) : convolve(conv_, u, ctx, state);
}

MixerOutput BaseConvMixer::run(const Value& x, const Context& ctx, MixerState* state) {
  const Value projected = in_proj_(x);
  if (options_.form == "gated") {
    const std::vector<Value> halves = split(projected, 2, std::array{channels_, channels_});
    return {out_proj_(mul(convolved(halves[0], ctx, state), halves[1])), {}};
  }
  Value conv = convolved(x, ctx, state), gate = projected;
  if (options_.use_act) {
    conv = unary(UnaryOp::kSilu, conv);
    gate = unary(UnaryOp::kSilu, gate);
  }
  return {add(mul(conv, gate), x), {}};
}

}  // namespace rebased
