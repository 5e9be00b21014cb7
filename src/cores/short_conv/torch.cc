#include "cores/composites.h"
#include "cores/short_conv/short_conv.h"

namespace rebased {

using torch::Tensor;

namespace {

// bias + the inputs of each lag that a token sees, times their taps. inputs [B, K-1+T, C].
Tensor masked_sum(const Tensor& inputs, const Tensor& w, const Tensor& bias, const Tensor& positions) {
  const int64_t K = w.size(1), T = positions.size(1);
  Tensor y = torch::zeros_like(inputs.narrow(1, 0, T));
  for (int64_t lag = 0; lag < K; ++lag) {
    const Tensor seen = (positions >= lag).unsqueeze(-1);
    y = y + torch::where(seen, inputs.narrow(1, K - 1 - lag, T), torch::zeros({}, inputs.options())) *
                w.select(1, K - 1 - lag);
  }
  return bias.defined() ? y + bias : y;
}

// Of each row the K-1 inputs up to its last token, those that it sees; all of the former state in a row of padding.
Tensor masked_state(const Tensor& inputs, int64_t K, const Tensor& positions) {
  const Tensor tokens = (torch::arange(1, positions.size(1) + 1, positions.options()) * (positions >= 0)).amax(1, true);
  const Tensor slots = torch::arange(K - 1, positions.options()).unsqueeze(0);
  const Tensor last = positions.gather(1, (tokens - 1).clamp_min(0));
  const Tensor seen = (K - 2 - slots <= last).logical_or(tokens == 0).unsqueeze(-1);
  const Tensor at = (tokens + slots).unsqueeze(-1).expand({-1, -1, inputs.size(2)});
  return torch::where(seen, inputs.gather(1, at), torch::zeros({}, inputs.options()));
}

}  // namespace

std::vector<Tensor> short_conv_composite(const Core& core, const std::vector<Tensor>& operands,
                                         std::vector<Tensor>& states) {
  const Tensor &x = operands[0], &w = operands[1], &bias = operands[2], &positions = operands[3];
  const int64_t K = w.size(1), T = x.size(1);
  const Tensor history = states.empty() ? torch::zeros({x.size(0), K - 1, x.size(2)}, x.options()) : states[0];
  const Tensor inputs = torch::cat({history, x}, 1);
  if (!states.empty())
    states[0] = positions.defined() ? masked_state(inputs, K, positions) : inputs.narrow(1, T, K - 1);
  const Tensor y = positions.defined()
                       ? masked_sum(inputs, w, bias, positions)
                       : torch::conv1d(inputs.transpose(1, 2), w.unsqueeze(1), bias, torch::IntArrayRef{1},
                                       torch::IntArrayRef{0}, torch::IntArrayRef{1}, x.size(2))
                             .transpose(1, 2);
  return {static_cast<const ShortConvCore&>(core).silu ? torch::silu(y) : y};
}

}  // namespace rebased
