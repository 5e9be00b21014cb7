#include "nn/mixers/attention.h"

#include <algorithm>

#include "engine/engine.h"

namespace rebased {
namespace {

int64_t blocks_for(int64_t tokens) {
  return (tokens + AttentionMixer::kBlock - 1) / AttentionMixer::kBlock * AttentionMixer::kBlock;
}

// `cache` [B, S, ...] with `fresh` elements up to `slots`.
Value grown(const Value& cache, int64_t slots, double fresh) {
  const Value more = cache.engine().full(cache.shape().with(1, slots - cache.size(1)), cache.dtype(), fresh);
  const Value parts[] = {cache, more};
  return concat(parts, 1);
}

// First slot behind every one that holds a key, in any row.
int64_t used_slots(const std::vector<int64_t>& key_pos, int64_t B, int64_t S) {
  for (int64_t slot = S; slot > 0; --slot) {
    for (int64_t b = 0; b < B; ++b) {
      if (key_pos[static_cast<size_t>(b * S + slot - 1)] >= 0) return slot;
    }
  }
  return 0;
}

}  // namespace

std::vector<StateArray> AttentionMixer::state_arrays(int64_t tokens) const { return cache(blocks_for(tokens)); }

SoftmaxMixer::Keys AttentionMixer::remember(MixerState& state, Value k, Value v,
                                            const std::vector<int64_t>& new_pos) const {
  const int64_t B = k.size(0), T = k.size(1);
  Engine& engine = k.engine();
  std::vector<int64_t> key_pos(static_cast<size_t>(state["key_pos"].shape().numel()));
  engine.to_host(state["key_pos"], key_pos.data(), DType::kI64);
  const int64_t used = used_slots(key_pos, B, state["key_pos"].size(1));
  const int64_t slots = std::max(blocks_for(used + T), state["k"].size(1));
  if (slots > state["k"].size(1)) {
    state["k"] = grown(state["k"], slots, 0);
    state["v"] = grown(state["v"], slots, 0);
    state["key_pos"] = grown(state["key_pos"], slots, -1);
  }
  const Value fresh_pos = engine.from_host(new_pos.data(), DType::kI64, Shape({B, T}), DType::kI64);
  state["k"] = write_time(std::move(state["k"]), k, used);
  state["v"] = write_time(std::move(state["v"]), v, used);
  state["key_pos"] = write_time(std::move(state["key_pos"]), fresh_pos, used);
  key_pos.resize(static_cast<size_t>(B * slots));
  engine.to_host(state["key_pos"], key_pos.data(), DType::kI64);
  return {state["k"], state["v"], std::move(key_pos), {}};
}

}  // namespace rebased
