#pragma once

#include "engine/core.h"

namespace rebased {

// y[t] = sum_{j<=t} filter[c, j] x[t-j]: x [B, T, C], filter [C, L], L >= T -> [B, T, C]
Value long_conv(const Value& x, const Value& filter);

class LongConvCore : public Core {
 public:
  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  int64_t scratch(const CoreCall<float>& call) const override;
  int64_t scratch(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;
};

}  // namespace rebased
