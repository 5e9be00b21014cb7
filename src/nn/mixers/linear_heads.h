#pragma once

#include "cores/linear_attention/linear_attention.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "engine/engine.h"
#include "nn/context.h"
#include "nn/layers.h"
#include "store/state.h"

namespace rebased {

// The projections that linear mixers share: q, k to heads of Dk, v to heads of Dv, o back to C; no biases.
// H * Dv may be smaller than C (the published layer takes Dv = floor(C / H)).
class LinearHeads {
 public:
  LinearHeads(const Scope& scope, int64_t channels, int64_t heads, int64_t key_dim, int64_t value_dim);

  Value query(const Value& x) const { return proj_q_(x); }  // [B, T, C] -> [B, T, H Dk]
  Value key(const Value& x) const { return proj_k_(x); }
  Value value(const Value& x) const { return split_heads(proj_v_(x), heads_); }  // [B, T, H, Dv]
  Value output(const Value& o) const { return proj_o_(merge_heads(o)); }         // [B, T, H, Dv] -> [B, T, C]
  Value split(const Value& x) const { return split_heads(x, heads_); }
  // Whether the outputs of ctx.outputs come cheaper from these tokens' queries alone, and can.
  bool prefers_few_queries(const Value& x, const Context& ctx, const MixerState* state, int64_t key_dim,
                           const QuadraticKernel& kernel) const;
  int64_t heads() const { return heads_; }
  int64_t value_dim() const { return value_dim_; }

  // "s" [H, F, Dv] and "z" [H, F] of each row, zero before the first token.
  std::vector<StateArray> state_arrays(int64_t features) const;

 private:
  int64_t heads_;
  int64_t value_dim_;
  Linear proj_q_, proj_k_, proj_v_, proj_o_;
};

// Width of a value head: the option when it is given, else floor(C / H). Throws ConfigError when that is 0.
int64_t value_dim_of(int64_t option, int64_t channels, int64_t heads, const std::string& path);

// Runs attend(LinearState*) on the state's "s" and "z", given away while it runs so that engines may advance them in
// place.
template <class Attend>
Value with_linear_state(MixerState* state, const Attend& attend) {
  if (state == nullptr) return attend(nullptr);
  Value& s = (*state)["s"];
  Value& z = (*state)["z"];
  LinearState sums{std::move(s), std::move(z)};
  struct GiveBack {
    ~GiveBack() {
      s = std::move(sums.s);
      z = std::move(sums.z);
    }
    Value &s, &z;
    LinearState& sums;
  } give_back{s, z, sums};  // also when attend throws
  return attend(&sums);
}

}  // namespace rebased
