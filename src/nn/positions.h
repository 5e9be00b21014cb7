#pragma once

#include <span>
#include <vector>

#include "engine/engine.h"
#include "store/state.h"

namespace rebased {

// Position of every token of x [B, T, ...] in its row: the state's tokens seen (0 without a state) plus 0 .. T-1. [B,
// T] i64.
std::vector<int64_t> host_positions(int64_t B, int64_t T, const MixerState* state);
Value token_positions(const Value& x, const MixerState* state);

// Token numbers [B, N] as a value beside x [B, T, ...].
Value positions_of(const Value& x, std::span<const int64_t> tokens);

// The given tokens [B, N] of x [B, T, ...]: [B, N, ...].
Value tokens_of(const Value& x, std::span<const int64_t> tokens);

}  // namespace rebased
