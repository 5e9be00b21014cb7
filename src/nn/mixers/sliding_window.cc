#include "nn/mixers/sliding_window.h"

#include <algorithm>

#include "engine/engine.h"

namespace rebased {

std::vector<StateArray> SlidingWindowMixer::state_arrays(int64_t tokens) const {
  return cache(std::min(window_ - 1, tokens));
}

SoftmaxMixer::Keys SlidingWindowMixer::remember(MixerState& state, Value k, Value v,
                                                const std::vector<int64_t>& new_pos) const {
  const int64_t T = k.size(1);
  Engine& engine = k.engine();
  const Value fresh_pos = engine.from_host(new_pos.data(), DType::kI64, Shape({k.size(0), T}), DType::kI64);
  auto joined = [](const Value& old, const Value& added) {
    const Value parts[] = {old, added};
    return concat(parts, 1);
  };
  const Value all_k = joined(state["k"], k), all_v = joined(state["v"], v),
              all_pos = joined(state["key_pos"], fresh_pos);
  const int64_t slots = all_k.size(1), kept = std::min(window_ - 1, slots);
  state["k"] = slice(all_k, 1, slots - kept, kept);
  state["v"] = slice(all_v, 1, slots - kept, kept);
  state["key_pos"] = slice(all_pos, 1, slots - kept, kept);
  std::vector<int64_t> key_pos(static_cast<size_t>(all_pos.shape().numel()));
  engine.to_host(all_pos, key_pos.data(), DType::kI64);
  return {all_k, all_v, std::move(key_pos), {}};
}

}  // namespace rebased
