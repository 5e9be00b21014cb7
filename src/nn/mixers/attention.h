#pragma once

#include "nn/mixers/softmax_mixer.h"

namespace rebased {

// Softmax attention over every earlier token (arXiv:1706.03762). State: a cache of keys and values that grows by blocks
// of kBlock slots; slots that hold nothing have position -1. docs/mixers/attention.md.
class AttentionMixer : public SoftmaxMixer {
 public:
  using Options = SoftmaxOptions;
  static constexpr int64_t kBlock = 64;

  AttentionMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
      : SoftmaxMixer(options, 0, scope, setup) {}

  MixerTraits traits() const override { return softmax_traits(); }
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  Keys remember(MixerState& state, Value k, Value v, const std::vector<int64_t>& new_pos) const override;
  int64_t first_slot(int64_t, int64_t) const override { return 0; }
};

}  // namespace rebased
