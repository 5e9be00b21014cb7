#pragma once

#include <string>

#include "config/limits.h"
#include "nn/layers.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// Gated convolution. form "zoology" (arXiv:2312.04927): y = conv(x) * (W x + b) + x, SiLU on both factors with use_act.
// form "gated" (arXiv:2402.18668): [u1 | u2] = in_proj x of width expand * C; y = out_proj(SiLU(conv(u1)) * u2).
// docs/mixers/base_conv.md.
class BaseConvMixer : public SequenceMixer {
 public:
  struct Options {
    std::string form = "zoology";
    int64_t kernel = 3;
    std::string filter = "short";
    int64_t max_tokens = 0;
    int64_t filter_hidden = 16;
    bool use_act = false;
    int64_t expand = 4;

    template <class V>
    void visit(V& v) {
      v("form", form, "zoology: conv(x) * proj(x) + x; gated: out_proj(SiLU(conv(u1)) * u2)",
        one_of({"zoology", "gated"}));
      v("kernel", kernel, "tokens that a short filter spans", between(1, kMostTokens));
      v("filter", filter,
        "short: learned taps; long: a learned tap for every lag; implicit: those taps from a small MLP of the lag",
        one_of({"short", "long", "implicit"}));
      v("max_tokens", max_tokens, "taps of a long or implicit filter; 0: the model's max_tokens",
        between(0, kMostTokens));
      v("filter_hidden", filter_hidden, "implicit filter: hidden width of its MLP, whatever d_model is (published: 16)",
        between(1, kMostChannels));
      v("use_act", use_act, "zoology form: SiLU on both factors");
      v("expand", expand, "gated form: width of in_proj over d_model (even)", between(2, kMostChannels));
    }
  };

  BaseConvMixer(const Options& options, const Scope& scope, const MixerSetup& setup);

  // filter_hidden of models from before the option: the width that their tensors have, then d_model's.
  static void complete_options(Json& options, const ShapeOf& shape_of);

  MixerTraits traits() const override;
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout&) const override { return !is_long(); }

 private:
  bool is_long() const { return options_.filter != "short"; }
  void declare_long_filter(const Scope& scope);
  Value long_filter() const;                                                     // [C, max_tokens]
  Value convolved(const Value& u, const Context& ctx, MixerState* state) const;  // [B, T, conv channels]
  Value long_convolved(const Value& u, MixerState* state) const;

  Options options_;
  int64_t channels_;  // that the convolution runs over
  ShortConv conv_;
  Param* filter_ = nullptr;
  Param* lag_features_ = nullptr;
  Linear filter_in_, filter_out_;
  Linear in_proj_, out_proj_;
};

}  // namespace rebased
