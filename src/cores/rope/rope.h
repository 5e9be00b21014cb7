#pragma once

#include "engine/core.h"

namespace rebased {

// Rotary embedding of the first `rotary` channels (even; 0 is all of them), half-split pairs. arXiv:2104.09864.
struct RopeOptions {
  int64_t rotary = 0;
  double base = 10000;
};

// x [B, T, H, D], positions [B, T] i64
Value rope(const Value& x, const Value& positions, const RopeOptions& options);

class RopeCore : public Core {
 public:
  explicit RopeCore(const RopeOptions& given) : options(given) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const RopeOptions options;
};

}  // namespace rebased
