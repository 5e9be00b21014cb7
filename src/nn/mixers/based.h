#pragma once

#include "config/limits.h"
#include "nn/mixers/linear_heads.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// Based (arXiv:2402.18668): linear attention with the second-order Taylor similarity 1 + s + s^2/2 of softmax's exp(s).
// docs/mixers/based.md.
class BasedMixer : public SequenceMixer {
 public:
  struct Options {
    int64_t num_heads = 12;
    int64_t feature_dim = 16;
    int64_t head_dim = 0;
    double eps = 1e-12;
    bool qk_norm = false;
    double norm_eps = 1e-5;
    double rope_base = 0;

    template <class V>
    void visit(V& v) {
      v("num_heads", num_heads, "heads", between(1, kMostChannels));
      v("feature_dim", feature_dim, "width of queries and keys a head", between(1, kernels::kMaxKeyDim));
      v("head_dim", head_dim, "width of values a head; 0: d_model / num_heads rounded down", between(0, kMostChannels));
      v("eps", eps, "added to the normaliser; part of the model", number_from_zero());
      v("qk_norm", qk_norm, "LayerNorm over all heads of q and of k (Based + norm)");
      v("norm_eps", norm_eps, "of that LayerNorm", number_from_zero());
      v("rope_base", rope_base, "base of rotary positions on q and k; 0: none", number_from_zero());
    }
  };

  BasedMixer(const Options& options, const Scope& scope, const MixerSetup& setup);

  MixerTraits traits() const override { return {}; }
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout&) const override { return true; }
  MixerOutput run_outputs(const Value& x, const Context& ctx, MixerState* state) override;

 private:
  // asking: x, or the tokens `queries` of it
  MixerOutput mix(const Value& asking, const Value& x, const Context& ctx, MixerState* state,
                  const std::vector<int64_t>& queries) const;
  int64_t state_features() const;

  Options options_;
  LinearHeads heads_;
  Norm norm_q_, norm_k_;
};

}  // namespace rebased
