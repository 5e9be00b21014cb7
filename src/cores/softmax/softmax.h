#pragma once

#include "engine/core.h"

namespace rebased {

Value softmax(const Value& x);  // over the last dimension

class SoftmaxCore : public Core {
 public:
  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;
};

}  // namespace rebased
