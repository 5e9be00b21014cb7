#include "nn/positions.h"

namespace rebased {

std::vector<int64_t> host_positions(int64_t B, int64_t T, const MixerState* state) {
  std::vector<int64_t> positions(static_cast<size_t>(B * T));
  for (int64_t b = 0; b < B; ++b) {
    const int64_t first = state != nullptr ? state->positions[static_cast<size_t>(b)] : 0;
    for (int64_t t = 0; t < T; ++t) positions[static_cast<size_t>(b * T + t)] = first + t;
  }
  return positions;
}

Value token_positions(const Value& x, const MixerState* state) {
  const std::vector<int64_t> positions = host_positions(x.size(0), x.size(1), state);
  return x.engine().from_host(positions.data(), DType::kI64, Shape({x.size(0), x.size(1)}), DType::kI64);
}

}  // namespace rebased
