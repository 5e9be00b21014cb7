#pragma once

#include "nn/sequence_mixer.h"

namespace rebased {

// y = x: a layer without mixing, the zero of every comparison.
class IdentityMixer : public SequenceMixer {
 public:
  struct Options {
    template <class V>
    void visit(V&) {}
  };

  IdentityMixer(const Options&, const Scope& scope, const MixerSetup&) : SequenceMixer(scope.prefix()) {}

  MixerTraits traits() const override;
  std::vector<StateArray> state_arrays(int64_t) const override { return {}; }

 protected:
  MixerOutput run(const Value& x, const Context&, MixerState*) override { return {x, {}}; }
  bool resets(const Layout&) const override { return true; }
};

}  // namespace rebased
