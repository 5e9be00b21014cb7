#pragma once

#include "config/limits.h"
#include "nn/layers.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// Multi-scale retention (arXiv:2307.08621 section 2): linear attention with rotary positions whose sums decay by a
// constant of each head. docs/mixers/retnet.md.
class RetNetMixer : public SequenceMixer {
 public:
  struct Options {
    int64_t num_heads = 4;
    int64_t key_dim = 0;
    int64_t value_dim = 0;
    double first_decay = 5;
    double rope_base = 10000;
    bool rope_endpoint = true;
    bool gate = true;
    double norm_eps = 1e-6;
    bool norm_weight = false;

    template <class V>
    void visit(V& v) {
      v("num_heads", num_heads, "heads", between(1, kMostChannels));
      v("key_dim", key_dim, "width of queries and keys a head; 0: d_model / num_heads rounded down",
        between(0, kMostChannels));
      v("value_dim", value_dim, "width of values a head; 0: twice key_dim", between(0, kMostChannels));
      v("first_decay", first_decay, "head h keeps 1 - 2^(-first_decay - h) of its sums at each token",
        number_from_zero());
      v("rope_base", rope_base, "base of rotary positions on q and k; 0: none", number_from_zero());
      v("rope_endpoint", rope_endpoint,
        "the slowest pair turns by 1 / rope_base (torchscale); else RoPE's own grid (fla)");
      v("gate", gate, "multiply by swish of a projection of the input");
      v("norm_eps", norm_eps, "of the RMSNorm over each head of the output", number_from_zero());
      v("norm_weight", norm_weight, "a gain in that norm, shared by the heads (fla)");
    }
  };

  RetNetMixer(const Options& options, const Scope& scope, const MixerSetup& setup);

  MixerTraits traits() const override { return {}; }
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout&) const override { return true; }

 private:
  Value rotated(const Value& x, const Value& positions) const;  // [B, T, H Dk] -> [B, T, H, Dk]

  Options options_;
  int64_t key_dim_, value_dim_;
  Linear proj_q_, proj_k_, proj_v_, proj_g_, out_proj_;
  Norm norm_;
};

}  // namespace rebased
