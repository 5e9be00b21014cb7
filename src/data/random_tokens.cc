#include "data/random_tokens.h"

#include "base/rng.h"

namespace rebased {

TaskData generate(const RandomTokensOptions& options, int64_t examples, uint64_t seed) {
  const int64_t T = options.seq_len;
  TaskData data = blank_task(examples, T, options.vocab_size);
  for (int64_t row = 0; row < examples; ++row) {
    Rng rng(derive_key(seed, "task.tokens", static_cast<uint64_t>(row)));
    int32_t *inputs = data.inputs.data() + row * T, *labels = data.labels.data() + row * T;
    auto draw = [&] { return static_cast<int32_t>(rng.below(static_cast<uint64_t>(options.vocab_size))); };
    inputs[0] = draw();
    for (int64_t t = 0; t < T; ++t) {
      labels[t] = draw();
      if (t + 1 < T) inputs[t + 1] = labels[t];
    }
  }
  return data;
}

}  // namespace rebased
