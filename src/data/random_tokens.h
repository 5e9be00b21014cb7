#pragma once

#include <cstdint>

#include "config/limits.h"
#include "config/options.h"
#include "data/task.h"

namespace rebased {

// Ids drawn uniformly and independently, every position asked for the one that follows: nothing can be learned, and the
// loss of an honest model stays at log(vocab_size). For timing language models, and as a check of a metric.
//   inputs  1 65 97 77 34 64 61 53
//   labels 65 97 77 34 64 61 53 69      (vocab_size 100, seq_len 8, seed 1)
struct RandomTokensOptions {
  int64_t vocab_size = 16384;
  int64_t seq_len = 1024;
  template <class V>
  void visit(V& v) {
    v("vocab_size", vocab_size, "different ids", between(2, kMostIds));
    v("seq_len", seq_len, "tokens of an example", between(1, kMostTokens));
  }
};
// Each row is a function of (seed, its index) alone. Throws ConfigError naming the option.
TaskData generate(const RandomTokensOptions& options, int64_t examples, uint64_t seed);

}  // namespace rebased
