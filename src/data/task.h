#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rebased {

inline constexpr int32_t kIgnoreLabel = -100;  // a position that neither loss nor accuracy counts

// The examples of a synthetic task. labels[t] is the answer expected at position t, after reading inputs[..t].
struct TaskData {
  int64_t examples = 0;
  int64_t seq_len = 0;
  int64_t vocab_size = 0;
  std::vector<int32_t> inputs;  // [examples, seq_len], ids in [0, vocab_size)
  std::vector<int32_t> labels;  // [examples, seq_len], ids or kIgnoreLabel

  bool operator==(const TaskData&) const = default;
};

// `examples` rows of blanks (input 0, kIgnoreLabel). Throws ConfigError for extents that are not positive or do not
// fit.
TaskData blank_task(int64_t examples, int64_t seq_len, int64_t vocab_size);

// Replaces every input 0 by an id uniform in [0, vocab_size); each row is a function of (seed, its index) alone.
void fill_blanks(TaskData& data, uint64_t seed);

// One row as two lines, "inputs" and "labels", a dot for kIgnoreLabel: the drawings in the headers of the tasks.
std::string draw_example(const TaskData& data, int64_t example);

}  // namespace rebased
