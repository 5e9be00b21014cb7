#include "data/task.h"

#include <fmt/format.h>

#include <limits>

#include "base/error.h"
#include "base/memory.h"
#include "base/rng.h"

namespace rebased {

TaskData blank_task(int64_t examples, int64_t seq_len, int64_t vocab_size) {
  if (examples < 1) throw ConfigError("examples must be at least 1, found {}", examples);
  if (seq_len < 1) throw ConfigError("seq_len must be at least 1, found {}", seq_len);
  if (vocab_size < 1 || vocab_size > std::numeric_limits<int32_t>::max()) {
    throw ConfigError("vocab_size must be in [1, 2^31), found {}", vocab_size);
  }
  check_memory(8.0 * static_cast<double>(examples) * static_cast<double>(seq_len),
               fmt::format("{} examples of {} tokens", examples, seq_len));
  const auto tokens = static_cast<size_t>(examples * seq_len);
  return {examples, seq_len, vocab_size, std::vector<int32_t>(tokens, 0), std::vector<int32_t>(tokens, kIgnoreLabel)};
}

void fill_blanks(TaskData& data, uint64_t seed) {
  for (int64_t row = 0; row < data.examples; ++row) {
    Rng rng(derive_key(seed, "task.fill", row));
    int32_t* inputs = data.inputs.data() + row * data.seq_len;
    for (int64_t t = 0; t < data.seq_len; ++t) {
      if (inputs[t] == 0) inputs[t] = static_cast<int32_t>(rng.below(data.vocab_size));
    }
  }
}

std::string draw_example(const TaskData& data, int64_t example) {
  std::string inputs = "inputs", labels = "labels";
  const size_t width = fmt::formatted_size("{}", data.vocab_size - 1) + 1;
  for (int64_t i = example * data.seq_len; i < (example + 1) * data.seq_len; ++i) {
    const int32_t label = data.labels[i];
    inputs += fmt::format("{:>{}}", data.inputs[i], width);
    labels += fmt::format("{:>{}}", label == kIgnoreLabel ? "." : std::to_string(label), width);
  }
  return inputs + "\n" + labels + "\n";
}

}  // namespace rebased
