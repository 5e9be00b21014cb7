#pragma once

#include "engine/core.h"

namespace rebased {

// x [..., D] -> [..., D(D+1)/2]: x_i^2, then sqrt(2) x_i x_j for i < j row by row
Value packed_squares(const Value& x);

class PackedSquaresCore : public Core {
 public:
  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;
};

}  // namespace rebased
