#pragma once

#include "engine/core.h"

namespace rebased {

struct AttentionOptions {
  double scale = 1;
  int64_t window = 0;          // visible keys including the query's own; 0: all
  bool additive_mask = false;  // hidden keys get -10000 on their score instead of none of the weight (zoology)
  double dropout = 0;          // on the probabilities
  uint64_t dropout_key = 0;
};

// Which keys a query sees. Empty: slot s is token s, query t is token S - T + t, causal. Else slot s of row b holds the
// key of token key[b, s] (nothing when negative), and is seen when key <= query and, with a window, key > query -
// window; or, where `first` takes the window's place, key >= first.
struct AttentionPositions {
  Value query{};  // [B, T] i64
  Value key{};    // [B, S] i64
  Value first{};  // [B, T] i64, or empty
};

// q [B, T, H, Dk], k [B, S, Hkv, Dk], v [B, S, Hkv, Dv], H a multiple of Hkv -> [B, T, H, Dv]
Value softmax_attention(const Value& q, const Value& k, const Value& v, const AttentionOptions& options,
                        const AttentionPositions& positions = {});

class SoftmaxAttentionCore : public Core {
 public:
  explicit SoftmaxAttentionCore(const AttentionOptions& given) : options(given) {}

  const Signature& signature() const override;
  void complete(Dims& dims) const override;
  int64_t scratch(const CoreCall<float>& call) const override;
  int64_t scratch(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<float>& call) const override;
  void backward(const CoreGradCall<float>& call) const override;
  void forward(const CoreCall<double>& call) const override;
  void backward(const CoreGradCall<double>& call) const override;

  const AttentionOptions options;
};

}  // namespace rebased
