#pragma once

#include <vector>

#include "cores/linear_attention/linear_attention.h"
#include "cores/quadratic_attention/kernel.h"

namespace rebased {

using kernels::QuadraticKernel;

// Similarity a + b s + c s^2 of s = scale <q, k>, normalised by its causal sum + eps.
struct QuadraticOptions {
  QuadraticKernel kernel{};
  double scale = 1;
  double eps = 1e-12;
  bool normalize = true;
  Form form = Form::kAuto;
  int64_t chunk = 0;               // tokens a chunk; 0: the kernel's choice
  std::vector<int64_t> queries{};  // [B, N] tokens, ascending in a row: q is of these alone; empty: of all
};

// q, k [B, T, H, Dk], v [B, T, H, Dv] -> [B, T, H, Dv]: cores/quadratic_attention/kernel.h; positions as of
// linear_attention. With queries q [B, N, H, Dk] -> [B, N, H, Dv], in the parallel form, without state or positions.
// Wider keys than kMaxKeyDim go by their features, without queries.
Value quadratic_attention(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                          LinearState* state = nullptr, const Value& positions = {});

class QuadraticAttentionCore : public Core {
 public:
  explicit QuadraticAttentionCore(const QuadraticOptions& given) : options(given) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  int64_t scratch(const CoreCall<float>& call) const override;
  int64_t scratch(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const QuadraticOptions options;
};

}  // namespace rebased
