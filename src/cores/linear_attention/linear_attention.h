#pragma once

#include "cores/linear_attention/kernel.h"
#include "engine/core.h"

namespace rebased {

using kernels::Decay;
using kernels::Form;

struct LinearOptions {
  double scale = 1;
  double eps = 1e-12;
  bool normalize = true;
  Form form = Form::kAuto;
  int64_t chunk = 0;  // tokens a chunk; 0: the kernel's choice
};

// Running sums of a linear mixer: s [B, H, F, Dv], z [B, H, F]. Operations read it and leave the advanced state in it.
// Gradient flows through both unless they are detached.
struct LinearState {
  Value s;
  Value z;
};

// Decay of the sums: log [H], [B, T, H] or [B, T, H, F], at most 0 (-inf forgets all). bonus [H, F], or empty: with it
// a token is read before it is written, and weighs its own value by the bonus.
struct LinearDecay {
  Value log;
  Value bonus;
};

// q, k [B, T, H, F] already mapped, v [B, T, H, Dv] -> [B, T, H, Dv]: cores/linear_attention/kernel.h
// positions [B, T] i64, or empty: of each token in its document, -1 for padding (kernels/tools/documents.h).
Value linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                       LinearState* state = nullptr, const Value& positions = {});
// With decay; without options.normalize the state is s alone.
Value linear_attention(const Value& q, const Value& k, const Value& v, const LinearDecay& decay,
                       const LinearOptions& options, LinearState* state = nullptr, const Value& positions = {});

class LinearAttentionCore : public Core {
 public:
  explicit LinearAttentionCore(const LinearOptions& given, Decay decay_of = Decay::kNone)
      : options(given), decay(decay_of) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  int64_t scratch(const CoreCall<float>& call) const override;
  int64_t scratch(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const LinearOptions options;
  const Decay decay;
};

}  // namespace rebased
