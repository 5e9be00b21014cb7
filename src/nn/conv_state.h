#pragma once

#include "engine/engine.h"
#include "nn/layers.h"
#include "store/state.h"

namespace rebased {

// The part of a mixer's state that a short convolution keeps: array "conv" [B, K-1, C], its last inputs, oldest first.
inline void add_conv_state(MixerState& state, Engine& engine, const ShortConv& conv) {
  state.add(engine, "conv", Shape({state.batch(), conv.kernel() - 1, conv.channels()}), engine.compute_dtype());
}

inline int64_t conv_state_bytes(const ShortConv& conv) {  // for each batch row, float32
  return (conv.kernel() - 1) * conv.channels() * static_cast<int64_t>(sizeof(float));
}

inline Value convolve(const ShortConv& conv, const Value& x, MixerState* state) {
  return conv(x, state != nullptr ? &(*state)["conv"] : nullptr);
}

}  // namespace rebased
