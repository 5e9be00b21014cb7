#pragma once

#include "engine/core.h"

namespace rebased {

struct SumAndNorm {
  Value sum;
  Value norm;
};

// x [..., C]; gamma, beta, weight [C] or empty; biased variance
Value layer_norm(const Value& x, const Value& gamma, const Value& beta, double eps);
Value rms_norm(const Value& x, const Value& weight, double eps);
// The same of a + b, alike in shape, and this sum: one step of a residual stream.
SumAndNorm add_layer_norm(const Value& a, const Value& b, const Value& gamma, const Value& beta, double eps);
SumAndNorm add_rms_norm(const Value& a, const Value& b, const Value& weight, double eps);

// layer_norm where centred, else rms_norm.
struct NormOptions {
  double eps = 0;
  bool centred = false;
};

class NormCore : public Core {
 public:
  explicit NormCore(const NormOptions& given) : options(given) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  using Core::scratch;
  int64_t scratch(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const NormOptions options;
};

class AddNormCore : public Core {
 public:
  explicit AddNormCore(const NormOptions& given) : options(given) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  using Core::scratch;
  int64_t scratch(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const NormOptions options;
};

}  // namespace rebased
