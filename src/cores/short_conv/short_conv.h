#pragma once

#include "engine/core.h"

namespace rebased {

// Causal depthwise convolution: x [B, T, C], w [C, K], bias [C] or empty -> [B, T, C], through SiLU where asked for;
// state [B, K-1, C]: the last inputs, oldest first. positions [B, T] i64, or empty: of each token in its document, -1
// for padding (kernels/tools/documents.h).
Value short_conv(const Value& x, const Value& w, const Value& bias, bool silu, Value* state = nullptr,
                 const Value& positions = {});

class ShortConvCore : public Core {
 public:
  explicit ShortConvCore(bool with_silu) : silu(with_silu) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  using Core::scratch;
  int64_t scratch(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const bool silu;
};

}  // namespace rebased
