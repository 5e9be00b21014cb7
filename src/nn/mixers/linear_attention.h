#pragma once

#include "config/limits.h"
#include "nn/feature_map.h"
#include "nn/mixers/linear_heads.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// Linear attention (arXiv:2006.16236) with a choice of feature maps: o_t = phi(q_t) S_t / (phi(q_t) . Z_t + eps).
// docs/mixers/linear_attention.md.
class LinearAttentionMixer : public SequenceMixer {
 public:
  struct Options {
    int64_t num_heads = 4;
    int64_t feature_dim = 16;
    int64_t head_dim = 0;
    FeatureMapOptions feature_map;
    double eps = 1e-12;
    bool normalize = true;
    bool use_scale = false;
    bool scale_by_map = false;
    bool output_norm = false;
    double output_norm_eps = 1e-5;

    template <class V>
    void visit(V& v) {
      v("num_heads", num_heads, "heads", between(1, kMostChannels));
      v("feature_dim", feature_dim, "width of queries and keys a head before the map", between(1, kMostChannels));
      v("head_dim", head_dim, "width of values a head; 0: d_model / num_heads rounded down", between(0, kMostChannels));
      v("feature_map", feature_map, "map of queries and keys");
      v("eps", eps, "added to the normaliser; part of the model", number_from_zero());
      v("normalize", normalize, "divide by the sum of similarities");
      v("use_scale", use_scale, "scale similarities by feature_dim^-1/2");
      v("scale_by_map", scale_by_map, "with use_scale: by the map's number of features instead (fla)");
      v("output_norm", output_norm, "RMSNorm over each head of the output (fla)");
      v("output_norm_eps", output_norm_eps, "of that RMSNorm", number_from_zero());
    }
  };

  LinearAttentionMixer(const Options& options, const Scope& scope, const MixerSetup& setup);

  MixerTraits traits() const override { return {.prefix = MixerTraits::Prefix::kHonoured}; }
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout& layout) const override { return !layout.has_prefix(); }

 private:
  double scale() const;

  Options options_;
  LinearHeads heads_;
  FeatureMap map_q_, map_k_;
  Norm output_norm_;
};

}  // namespace rebased
