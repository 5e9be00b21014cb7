#include "data/circuit_tasks.h"

#include "base/error.h"
#include "base/rng.h"

namespace rebased {
namespace {

// answer(ones, bits): of `bits` bits read, `ones` were 1.
template <class Answer>
TaskData at_the_end(const char* task, int64_t seq_len, int64_t examples, uint64_t seed, const Answer& answer) {
  if (seq_len < 2) throw ConfigError("{}: seq_len must be at least 2, found {}", task, seq_len);
  TaskData data = blank_task(examples, seq_len, ParityOptions::kVocabulary);
  for (int64_t row = 0; row < examples; ++row) {
    Rng rng(derive_key(seed, "task.bits", row));
    int32_t* inputs = data.inputs.data() + row * seq_len;
    int64_t ones = 0;
    for (int64_t t = 0; t < seq_len - 1; ++t) ones += inputs[t] = static_cast<int32_t>(rng.below(2));
    inputs[seq_len - 1] = kEndOfBits;
    data.labels[(row + 1) * seq_len - 1] = answer(ones, seq_len - 1);
  }
  return data;
}

template <class Answer>
TaskData everywhere(int64_t seq_len, int64_t examples, uint64_t seed, const Answer& answer) {
  TaskData data = blank_task(examples, seq_len, CumulativeParityOptions::kVocabulary);
  for (int64_t row = 0; row < examples; ++row) {
    Rng rng(derive_key(seed, "task.bits", row));
    int64_t ones = 0;
    for (int64_t t = 0; t < seq_len; ++t) {
      ones += data.inputs[row * seq_len + t] = static_cast<int32_t>(rng.below(2));
      data.labels[row * seq_len + t] = answer(ones, t + 1);
    }
  }
  return data;
}

int32_t is_odd(int64_t ones, int64_t) { return ones % 2; }

}  // namespace

TaskData generate(const ParityOptions& options, int64_t examples, uint64_t seed) {
  return at_the_end("parity", options.seq_len, examples, seed, is_odd);
}

TaskData generate(const MajorityOptions& options, int64_t examples, uint64_t seed) {
  const auto most = [](int64_t ones, int64_t bits) { return 2 * ones > bits ? 1 : 0; };
  return at_the_end("majority", options.seq_len, examples, seed, most);
}

TaskData generate(const CumulativeParityOptions& options, int64_t examples, uint64_t seed) {
  return everywhere(options.seq_len, examples, seed, is_odd);
}

TaskData generate(const CumulativeMajorityOptions& options, int64_t examples, uint64_t seed) {
  return everywhere(options.seq_len, examples, seed,
                    [](int64_t ones, int64_t bits) { return 2 * ones >= bits ? 1 : 0; });
}

}  // namespace rebased
