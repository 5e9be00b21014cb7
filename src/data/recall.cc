#include "data/recall.h"

#include <cmath>

namespace rebased {

Bindings draw_bindings(Draws& draws, int64_t examples, int64_t vocab_size, int64_t pairs) {
  const auto first_value = static_cast<int32_t>(vocab_size / 2);
  const auto value_count = static_cast<int32_t>(vocab_size - first_value);
  Bindings bindings;
  bindings.keys = draws.distinct(examples, first_value - 1, static_cast<int32_t>(pairs));
  bindings.values = draws.distinct(examples, value_count, static_cast<int32_t>(pairs));
  for (int32_t& key : bindings.keys) key += 1;
  for (int32_t& value : bindings.values) value += first_value;
  return bindings;
}

std::vector<double> slot_weights(std::string_view task, int64_t slots, double power) {
  require(power >= 1e-6 && power <= 10, task, "power must be in [1e-6, 10], found {}", power);
  std::vector<double> weights(static_cast<size_t>(slots));
  for (int64_t g = 0; g < slots; ++g) weights[g] = power * std::pow(static_cast<double>(g + 1), power - 1);
  return weights;
}

void check_recall_sizes(std::string_view task, int64_t vocab_size, int64_t seq_len, int64_t pairs) {
  require(seq_len >= 2 && seq_len % 2 == 0, task, "seq_len must be even and at least 2, found {}", seq_len);
  require(vocab_size > seq_len, task, "vocab_size must be greater than seq_len = {}, found {}", seq_len, vocab_size);
  require(vocab_size < int64_t{1} << 31, task, "vocab_size must be less than 2^31, found {}", vocab_size);
  require(pairs >= 1, task, "pairs must be at least 1, found {}", pairs);
}

}  // namespace rebased
