#include "nn/positions.h"

#include <numeric>

namespace rebased {

std::vector<int64_t> host_positions(int64_t B, int64_t T, const Context& ctx, const MixerState* state) {
  const std::span<const int64_t> before = state != nullptr ? state->positions : std::span<const int64_t>();
  if (ctx.layout != nullptr) return ctx.layout->positions(before);
  std::vector<int64_t> positions(static_cast<size_t>(B * T));
  for (int64_t b = 0; b < B; ++b) {  // each layer of a token asks: no layout is made for it
    const auto row = positions.begin() + b * T;
    std::iota(row, row + T, before.empty() ? 0 : before[static_cast<size_t>(b)]);
  }
  return positions;
}

Value token_positions(const Value& x, const Context& ctx, const MixerState* state) {
  return positions_of(x, host_positions(x.size(0), x.size(1), ctx, state));
}

Value document_positions(const Value& x, const Context& ctx, const MixerState* state) {
  return ctx.layout != nullptr && !ctx.layout->is_whole() ? token_positions(x, ctx, state) : Value();
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
