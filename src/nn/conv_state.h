#pragma once

#include "engine/engine.h"
#include "nn/layers.h"
#include "nn/positions.h"
#include "store/state.h"

namespace rebased {

// What a short convolution keeps in a mixer's state: [K-1, C] of each row, its last inputs, oldest first.
inline StateArray conv_state(const ShortConv& conv) { return {"conv", Shape({conv.kernel() - 1, conv.channels()})}; }

inline Value convolve(const ShortConv& conv, const Value& x, const Context& ctx, MixerState* state) {
  return conv(x, state != nullptr ? &(*state)["conv"] : nullptr, document_positions(x, ctx, state));
}

}  // namespace rebased
