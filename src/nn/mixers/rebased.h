#pragma once

#include <string>
#include <vector>

#include "config/limits.h"
#include "cores/linear_attention/linear_attention.h"
#include "nn/mixers/linear_heads.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// ReBased (arXiv:2402.10644): linear attention whose similarity is the squared score of affinely normalised queries and
// keys, A[t,s] = (scale <q'_t, k'_s>)^2. docs/mixers/rebased.md has equations, state size and departures.
class RebasedMixer : public SequenceMixer {
 public:
  struct Options {
    int64_t num_heads = 12;
    int64_t feature_dim = 16;
    int64_t head_dim = 0;
    double eps = 1e-12;
    std::string norm = "joint";
    bool normalize = true;
    bool use_gamma = true;
    bool use_beta = true;
    double norm_eps = 1e-5;
    std::string similarity = "score_square";
    bool use_scale = true;
    bool normalize_output = true;

    template <class V>
    void visit(V& v) {
      v("num_heads", num_heads, "heads", between(1, kMostChannels));
      v("feature_dim", feature_dim, "width of queries and keys a head", between(1, kernels::kMaxKeyDim));
      v("head_dim", head_dim, "width of values a head; 0: d_model / num_heads rounded down", between(0, kMostChannels));
      v("eps", eps, "added to the normaliser; part of the model", number_from_zero());
      v("norm", norm,
        "joint: over all heads, q and k apart (published); per_head: over each head, q and k shared (fla)",
        one_of({"joint", "per_head"}));
      v("normalize", normalize, "bring q and k to zero mean and unit variance");
      v("use_gamma", use_gamma, "learnable scale on q and k");
      v("use_beta", use_beta, "learnable shift on q and k");
      v("norm_eps", norm_eps, "added to that variance", number_from_zero());
      v("similarity", similarity, "score_square: <q,k>^2; elementwise_square: sum_i q_i^2 k_i^2",
        one_of({"score_square", "elementwise_square"}));
      v("use_scale", use_scale, "scale scores by feature_dim^-1/2");
      v("normalize_output", normalize_output, "divide by the sum of similarities");
    }
  };

  RebasedMixer(const Options& options, const Scope& scope, const MixerSetup& setup);

  MixerTraits traits() const override { return {}; }
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout&) const override { return true; }
  MixerOutput run_outputs(const Value& x, const Context& ctx, MixerState* state) override;

 private:
  // gamma and beta of queries or keys; null where switched off.
  struct Affine {
    Param* gamma = nullptr;
    Param* beta = nullptr;
  };
  Affine declare_affine(const Scope& scope, int64_t channels) const;
  Value shape_scores(const Value& x, const Affine& affine) const;  // [B, T, H Dk] -> [B, T, H, Dk]
  // asking: x, or the tokens `queries` of it
  MixerOutput mix(const Value& asking, const Value& x, const Context& ctx, MixerState* state,
                  const std::vector<int64_t>& queries) const;
  Value attend(const Value& q, const Value& k, const Value& v, const Context& ctx, const Value& documents,
               LinearState* state, const std::vector<int64_t>& queries) const;
  int64_t state_features() const;

  Options options_;
  LinearHeads heads_;
  Affine query_, key_;
};

}  // namespace rebased
