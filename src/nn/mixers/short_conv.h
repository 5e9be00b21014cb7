#pragma once

#include "config/limits.h"
#include "nn/layers.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// y = conv(x) [+ SiLU], depthwise and causal over `kernel` tokens. State: the last kernel-1 inputs.
class ShortConvMixer : public SequenceMixer {
 public:
  struct Options {
    int64_t kernel = 3;
    bool bias = true;
    bool silu = false;

    template <class V>
    void visit(V& v) {
      v("kernel", kernel, "tokens that the convolution spans", between(1, kMostTokens));
      v("bias", bias, "add a bias a channel");
      v("silu", silu, "SiLU on the output");
    }
  };

  ShortConvMixer(const Options& options, const Scope& scope, const MixerSetup& setup);

  MixerTraits traits() const override { return {.prefix = MixerTraits::Prefix::kIndifferent}; }
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout&) const override { return true; }

 private:
  ShortConv conv_;
};

}  // namespace rebased
