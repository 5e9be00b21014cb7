#include "nn/feature_map.h"

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "cores/softmax/softmax.h"
#include "cores/taylor_features/taylor_features.h"

namespace rebased {
namespace {

constexpr int64_t kPerformerFeatures = 256;

int64_t feature_count(const FeatureMapOptions& options, int64_t D) {
  if (options.name == "taylor") return 1 + D + D * D;
  if (options.name == "taylor_packed") return 1 + D + D * (D + 1) / 2;
  if (options.name == "all_poly") return options.size > 0 ? options.size : D;
  if (options.name == "performer") return options.size > 0 ? options.size : kPerformerFeatures;
  if (options.name == "hedgehog") return 2 * D;
  if (options.name == "dpfp") return 2 * D * options.nu;
  return D;
}

void refuse_idle_options(const FeatureMapOptions& options, const std::string& path) {
  const FeatureMapOptions defaults;
  auto refuse = [&](bool changed, std::initializer_list<const char*> maps, const char* option) {
    for (const char* map : maps) {
      if (options.name == map) return;
    }
    if (changed) throw ConfigError("{}: option {} cannot take effect with the map {}", path, option, options.name);
  };
  refuse(options.temperature != defaults.temperature, {"elu", "relu"}, "temperature");
  refuse(options.floor != defaults.floor, {"relu"}, "floor");
  refuse(options.size != defaults.size, {"all_poly", "performer"}, "size");
  refuse(options.nu != defaults.nu, {"dpfp"}, "nu");
  refuse(options.tie != defaults.tie, {"all_poly", "hedgehog", "hadamard"}, "tie");
  refuse(options.bias != defaults.bias, {"hedgehog"}, "bias");
}

// Rotates the last dimension right by `places`: y[i] = x[i - places].
Value roll_last(const Value& x, int64_t places) {
  const int64_t D = x.size(-1), shift = places % D;
  const Value parts[] = {slice(x, -1, D - shift, shift), slice(x, -1, 0, D - shift)};
  return concat(parts, -1);
}

Value joined(const Value& a, const Value& b) {
  const Value parts[] = {a, b};
  return concat(parts, -1);
}

}  // namespace

FeatureMap::FeatureMap(const FeatureMapOptions& options, const Scope& scope, int64_t dim)
    : options_(options),
      dim_(dim),
      size_(checked_width(feature_count(options, dim), scope.prefix() + ": the features of " + options.name)) {
  refuse_idle_options(options, scope.prefix());
  if (options.name == "all_poly") {
    const double std = 1 / std::sqrt(static_cast<double>(dim));
    first_ = Linear(scope.child("proj_1"), dim, size_, false, std);
    second_ = Linear(scope.child("proj_2"), dim, size_, false, std);
  } else if (options.name == "hadamard") {
    first_ = Linear(scope.child("layer1"), dim, dim, true);
    second_ = Linear(scope.child("layer2"), dim, dim, true);
  } else if (options.name == "hedgehog") {
    projection_ = &scope.param("layer.weight", Shape({dim, dim}), init::identity());
    if (options.bias) bias_ = &scope.gain_or_bias("layer.bias", Shape({dim}), init::constant(0));
  } else if (options.name == "performer") {
    // Unit rows divided by sqrt(m / d): zoology's scaling of its projection.
    const double scale = std::sqrt(static_cast<double>(dim) / static_cast<double>(size_));
    projection_ = &scope.buffer("projection", Shape({size_, dim}), init::normal_rows_orthogonal(scale));
  }
}

// max(relu(x), floor), written so that one unary operation does it.
Value FeatureMap::relu_map(const Value& x) const {
  return scale_shift(unary(UnaryOp::kRelu, scale_shift(x, options_.temperature, -options_.floor)), 1, options_.floor);
}

// exp(w.x / d^(1/4) - |x|^2 / (2 sqrt d)) / sqrt m: arXiv:2009.14794 section 2.3.
Value FeatureMap::performer(const Value& x) const {
  const double root = std::sqrt(static_cast<double>(dim_));
  const Value projected = scale_shift(linear(x, projection_->value), 1 / std::sqrt(root));
  const Value norm =
      scale_shift(sum_last(unary(UnaryOp::kSquare, x)), -0.5 / root, -0.5 * std::log(static_cast<double>(size_)));
  return unary(UnaryOp::kExp, add(projected, norm));
}

// softmax([2y, -2y]), y = Wx or, as fla codes it, Wx + b: arXiv:2402.04347.
Value FeatureMap::hedgehog(const Value& x) const {
  const Value y = scale_shift(linear(x, projection_->value, value_or_empty(bias_)), 2);
  return softmax(joined(y, scale_shift(y, -1)));
}

// r = [relu(x), -relu(x)], features r * roll(r, j) for j = 1..nu, the second half as fla codes it (arXiv:2102.11174).
Value FeatureMap::dpfp(const Value& x) const {
  const Value positive = unary(UnaryOp::kRelu, x);
  const Value r = joined(positive, scale_shift(positive, -1));
  std::vector<Value> products;
  for (int64_t j = 1; j <= options_.nu; ++j) products.push_back(mul(r, roll_last(r, j)));
  return concat(products, -1);
}

Value FeatureMap::operator()(const Value& x) const {
  const std::string& name = options_.name;
  if (name == "elu") return scale_shift(unary(UnaryOp::kElu, scale_shift(x, options_.temperature)), 1, 1);
  if (name == "relu") return relu_map(x);
  if (name == "identity") return x;
  if (name == "square") return unary(UnaryOp::kSquare, x);
  if (name == "scaled_square") return scale_shift(unary(UnaryOp::kSquare, x), 1 / std::numbers::sqrt2);
  if (name == "taylor") return taylor_features(x, false);
  if (name == "taylor_packed") return taylor_features(x, true);
  if (name == "all_poly") {
    return scale_shift(add(unary(UnaryOp::kSquare, first_(x)), second_(unary(UnaryOp::kSquare, x))),
                       1 / std::numbers::sqrt2);
  }
  if (name == "performer") return performer(x);
  if (name == "hedgehog") return hedgehog(x);
  if (name == "dpfp") return dpfp(x);
  return mul(first_(x), second_(x));  // hadamard
}

}  // namespace rebased
