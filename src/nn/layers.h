#pragma once

#include <cstdint>
#include <string>

#include "cores/norm/norm.h"
#include "engine/vocabulary.h"
#include "store/parameters.h"

namespace rebased {

// A width that others make, held to the bounds of a given one. Throws ConfigError "WHAT: ..., found 0".
int64_t checked_width(int64_t width, const std::string& what);

// What an optional parameter holds; empty where there is none.
inline Value value_or_empty(const Param* param) { return param != nullptr ? param->value : Value(); }

// y = x W^T + b; parameters "weight" [O, I] and "bias" [O]. Weight N(0, std^2), bias 0.
class Linear {
 public:
  Linear() = default;
  Linear(const Scope& scope, int64_t in, int64_t out, bool bias) : Linear(scope, in, out, bias, scope.init_std()) {}
  Linear(const Scope& scope, int64_t in, int64_t out, bool bias, double std);
  Value operator()(const Value& x) const { return linear(x, weight_->value, value_or_empty(bias_)); }

 private:
  Param* weight_ = nullptr;
  Param* bias_ = nullptr;
};

enum class NormKind : uint8_t { kLayer, kRms };
NormKind norm_kind(const std::string& name);  // "layer" or "rms"

// Over the last dimension; parameters "weight" [C] (ones) and, for LayerNorm, "bias" [C] (zeros), each optional.
class Norm {
 public:
  Norm() = default;
  Norm(const Scope& scope, NormKind kind, int64_t channels, double eps, bool weight = true, bool bias = true);
  Value operator()(const Value& x) const;
  SumAndNorm operator()(const Value& x, const Value& residual) const;  // of x + residual, or of x where it is empty

 private:
  NormKind kind_ = NormKind::kLayer;
  double eps_ = 1e-5;
  Param* weight_ = nullptr;
  Param* bias_ = nullptr;
};

// Causal depthwise convolution; parameters "weight" [C, K] and "bias" [C], both U(-1/sqrt K, 1/sqrt K) as PyTorch's
// Conv1d.
class ShortConv {
 public:
  ShortConv() = default;
  ShortConv(const Scope& scope, int64_t channels, int64_t kernel, bool bias, bool silu);
  Value operator()(const Value& x, Value* state, const Value& positions = {}) const;  // as short_conv
  int64_t channels() const { return channels_; }
  int64_t kernel() const { return kernel_; }

 private:
  int64_t channels_ = 0;
  int64_t kernel_ = 0;
  bool silu_ = false;
  Param* weight_ = nullptr;
  Param* bias_ = nullptr;
};

}  // namespace rebased
