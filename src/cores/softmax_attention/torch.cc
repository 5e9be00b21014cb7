#include <limits>

#include "cores/composites.h"
#include "cores/dropout/composite.h"
#include "cores/softmax_attention/softmax_attention.h"

namespace rebased {

using torch::Tensor;

// Slots that hold no key, or are hidden, get no weight at all; a query to which nothing is shown yields zeros.
std::vector<Tensor> softmax_attention_composite(const Core& core, const std::vector<Tensor>& operands,
                                                std::vector<Tensor>& /*states*/) {
  const AttentionOptions& options = static_cast<const SoftmaxAttentionCore&>(core).options;
  const int64_t repeats = operands[0].size(2) / operands[1].size(2);
  const auto heads_first = [repeats](const Tensor& x) {
    return repeats == 1 ? x.transpose(1, 2) : x.repeat_interleave(repeats, 2).transpose(1, 2);
  };
  const Tensor k = heads_first(operands[1]), v = heads_first(operands[2]);
  const Tensor query_pos = operands[3].unsqueeze(2).unsqueeze(1), key_pos = operands[4].unsqueeze(1).unsqueeze(1);
  const Tensor held = key_pos >= 0;
  Tensor visible = held.logical_and(key_pos <= query_pos);  // [B, 1, T, S]
  if (operands[5].defined()) visible = visible.logical_and(key_pos >= operands[5].unsqueeze(2).unsqueeze(1));
  if (options.window > 0) visible = visible.logical_and(key_pos > query_pos - options.window);
  const Tensor shown = options.additive_mask ? held.expand_as(visible) : visible;
  Tensor scores = torch::matmul(operands[0].transpose(1, 2), (k * options.scale).transpose(-1, -2));
  if (options.additive_mask) scores = scores + torch::where(visible, 0.0, -10000.0).to(scores.dtype());
  scores = scores.masked_fill(~shown, -std::numeric_limits<double>::infinity());
  Tensor weights = torch::softmax(scores, -1).masked_fill(~shown, 0);
  if (options.dropout > 0) weights = dropped(weights, options.dropout, options.dropout_key);
  return {torch::matmul(weights, v).transpose(1, 2).contiguous()};
}

}  // namespace rebased
