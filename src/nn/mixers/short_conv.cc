#include "nn/mixers/short_conv.h"

#include "nn/conv_state.h"

namespace rebased {

ShortConvMixer::ShortConvMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      conv_(scope.child("conv"), setup.d_model, options.kernel, options.bias, options.silu) {}

std::vector<StateArray> ShortConvMixer::state_arrays(int64_t) const { return {conv_state(conv_)}; }

MixerOutput ShortConvMixer::run(const Value& x, const Context& ctx, MixerState* state) {
  return {convolve(conv_, x, ctx, state), {}};
}

}  // namespace rebased
