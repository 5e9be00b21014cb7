#include "nn/layers.h"

#include <cmath>

#include "base/error.h"
#include "config/limits.h"
#include "cores/norm/norm.h"
#include "cores/short_conv/short_conv.h"

namespace rebased {

int64_t checked_width(int64_t width, const std::string& what) {
  if (width >= 1 && width <= kMostChannels) return width;
  throw ConfigError("{}: expected 1 to {}, found {}", what, kMostChannels, width);
}

Linear::Linear(const Scope& scope, int64_t in, int64_t out, bool bias, double std)
    : weight_(&scope.matrix("weight", Shape({out, in}), init::normal(std))),
      bias_(bias ? &scope.gain_or_bias("bias", Shape({out}), init::constant(0)) : nullptr) {}

NormKind norm_kind(const std::string& name) {
  if (name == "layer") return NormKind::kLayer;
  if (name == "rms") return NormKind::kRms;
  throw ConfigError("norm: expected layer or rms, found {}", name);
}

Norm::Norm(const Scope& scope, NormKind kind, int64_t channels, double eps, bool weight, bool bias)
    : kind_(kind), eps_(eps) {
  if (weight) weight_ = &scope.gain_or_bias("weight", Shape({channels}), init::constant(1));
  if (bias && kind == NormKind::kLayer) bias_ = &scope.gain_or_bias("bias", Shape({channels}), init::constant(0));
}

Value Norm::operator()(const Value& x) const {
  return kind_ == NormKind::kRms ? rms_norm(x, value_or_empty(weight_), eps_)
                                 : layer_norm(x, value_or_empty(weight_), value_or_empty(bias_), eps_);
}

SumAndNorm Norm::operator()(const Value& x, const Value& residual) const {
  if (!residual) return {x, (*this)(x)};
  if (kind_ == NormKind::kRms) return add_rms_norm(x, residual, value_or_empty(weight_), eps_);
  return add_layer_norm(x, residual, value_or_empty(weight_), value_or_empty(bias_), eps_);
}

ShortConv::ShortConv(const Scope& scope, int64_t channels, int64_t kernel, bool bias, bool silu)
    : channels_(channels), kernel_(kernel), silu_(silu) {
  const double bound = 1 / std::sqrt(static_cast<double>(kernel));
  weight_ = &scope.param("weight", Shape({channels, kernel}), init::uniform(bound));
  if (bias) bias_ = &scope.gain_or_bias("bias", Shape({channels}), init::uniform(bound));
}

Value ShortConv::operator()(const Value& x, Value* state, const Value& positions) const {
  return short_conv(x, weight_->value, value_or_empty(bias_), silu_, state, positions);
}

}  // namespace rebased
