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
  return positions_of(x, host_positions(x.size(0), x.size(1), state));
}

Value positions_of(const Value& x, std::span<const int64_t> tokens) {
  const int64_t B = x.size(0), N = static_cast<int64_t>(tokens.size()) / B;
  return x.engine().from_host(tokens.data(), DType::kI64, Shape({B, N}), DType::kI64);
}

Value tokens_of(const Value& x, std::span<const int64_t> tokens) {
  const int64_t B = x.size(0), T = x.size(1), N = static_cast<int64_t>(tokens.size()) / B;
  std::vector<int64_t> rows(tokens.begin(), tokens.end());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] += static_cast<int64_t>(i) / N * T;
  const Value flat = reshape(x, Shape({B * T, x.shape().numel() / (B * T)}));
  return reshape(select_rows(flat, rows), x.shape().with(1, N));
}

}  // namespace rebased
