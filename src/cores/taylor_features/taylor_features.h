#pragma once

#include "engine/core.h"

namespace rebased {

// x [..., D] -> features of 1 + s + s^2/2, s = <x, y>/sqrt(D): [1 | x/D^(1/4) | second order], second order either all
// D^2 products / sqrt(2 D) or packed (x_i^2/sqrt(2 D), x_i x_j/sqrt(D) for i < j). arXiv:2402.18668.
Value taylor_features(const Value& x, bool packed);

class TaylorFeaturesCore : public Core {
 public:
  explicit TaylorFeaturesCore(bool is_packed) : packed(is_packed) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const bool packed;
};

}  // namespace rebased
