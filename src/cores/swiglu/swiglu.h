#pragma once

#include "engine/core.h"

namespace rebased {

// [..., 2 C] -> [..., C]: rows [up | gate] -> up * silu(gate). arXiv:2002.05202.
Value swiglu(const Value& x);

class SwigluCore : public Core {
 public:
  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;
};

}  // namespace rebased
