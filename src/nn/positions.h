#pragma once

#include <vector>

#include "engine/engine.h"
#include "engine/state.h"

namespace rebased {

// Position of every token of x [B, T, ...] in its row: the state's tokens seen (0 without a state) plus 0 .. T-1. [B,
// T] i64.
std::vector<int64_t> host_positions(int64_t B, int64_t T, const MixerState* state);
Value token_positions(const Value& x, const MixerState* state);

}  // namespace rebased
