#include "nn/mixers/short_conv.h"

#include "nn/conv_state.h"

namespace rebased {

ShortConvMixer::ShortConvMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      conv_(scope.child("conv"), setup.d_model, options.kernel, options.bias, options.silu) {}

MixerState ShortConvMixer::initial_state(Engine& engine, int64_t batch) const {
  MixerState state(batch);
  add_conv_state(state, engine, conv_);
  return state;
}

int64_t ShortConvMixer::state_bytes(int64_t batch, int64_t) const { return batch * conv_state_bytes(conv_); }

MixerOutput ShortConvMixer::run(const Value& x, const Context&, MixerState* state) {
  return {convolve(conv_, x, state), {}};
}

}  // namespace rebased
