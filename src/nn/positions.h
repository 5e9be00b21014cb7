#pragma once

#include <span>
#include <vector>

#include "engine/engine.h"
#include "nn/context.h"
#include "store/state.h"

namespace rebased {

// Place of every token [B, T] in its document, behind what the state has read; -1 for padding.
std::vector<int64_t> host_positions(int64_t B, int64_t T, const Context& ctx, const MixerState* state);
// The same of x [B, T, ...] as a value.
Value token_positions(const Value& x, const Context& ctx, const MixerState* state);
// And for cores that reset themselves: empty where rows are whole, so that they need not look.
Value document_positions(const Value& x, const Context& ctx, const MixerState* state);

// Token numbers [B, N] as a value beside x [B, T, ...].
Value positions_of(const Value& x, std::span<const int64_t> tokens);

// The given tokens [B, N] of x [B, T, ...]: [B, N, ...].
Value tokens_of(const Value& x, std::span<const int64_t> tokens);

}  // namespace rebased
