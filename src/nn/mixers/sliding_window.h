#pragma once

#include "nn/mixers/softmax_mixer.h"

namespace rebased {

// Softmax attention over the last `window` keys, the query's own among them (an explicit count: published code means w,
// w+1 or w/2+1 by "window w"). State: the last window-1 keys and values, as many as there were.
// docs/mixers/sliding_window.md.
class SlidingWindowMixer : public SoftmaxMixer {
 public:
  struct Options : SoftmaxOptions {
    int64_t window = 64;

    template <class V>
    void visit(V& v) {
      v("window", window, "keys that a query sees, its own among them", between(1, kMostTokens));
      SoftmaxOptions::visit(v);
    }
  };

  SlidingWindowMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
      : SoftmaxMixer(options, options.window, scope, setup), window_(options.window) {}

  MixerTraits traits() const override { return softmax_traits(); }
  std::vector<StateArray> state_arrays(int64_t tokens) const override;

 protected:
  Keys remember(MixerState& state, Value k, Value v, const std::vector<int64_t>& new_pos) const override;
  int64_t first_slot(int64_t kept, int64_t slots) const override { return slots - kept; }

 private:
  int64_t window_;
};

}  // namespace rebased
