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
  MixerState initial_state(Engine&, int64_t batch) const override { return MixerState(batch); }
  int64_t state_bytes(int64_t, int64_t) const override { return 0; }

 protected:
  MixerOutput run(const Value& x, const Context&, MixerState*) override { return {x, {}}; }
};

}  // namespace rebased
