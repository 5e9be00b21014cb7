#pragma once

#include "engine/core.h"

namespace rebased {

// Keeps each element with probability 1 - p, scaled by 1/(1-p); which, is a function of key and index alone. p in [0,
// 1).
Value dropout(const Value& x, double p, uint64_t key);

class DropoutCore : public Core {
 public:
  DropoutCore(double p_of, uint64_t key_of) : p(p_of), key(key_of) {}

  const Signature& signature() const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const double p;
  const uint64_t key;
};

}  // namespace rebased
