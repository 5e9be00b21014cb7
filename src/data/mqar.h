#pragma once

#include <cstdint>
#include <string>

#include "config/limits.h"
#include "config/options.h"
#include "data/task.h"

namespace rebased {

// Multi-query associative recall (Arora, Eyuboglu et al. 2023, arXiv:2312.04927), as ReBased's Figure 1 uses it.
//
//           key val key val | query area: slots of two tokens, a query at the start of some
//   inputs  8 17  6 16  0  0  8  0  0  0  6  0  0  0  0  0
//   labels  .  .  .  .  .  . 17  .  .  . 16  .  .  .  .  .      (vocab_size 20, seq_len 16, pairs 2, seed 8)
//
// The context binds `pairs` keys; the query area then asks for every key once, and the answer is expected at the key
// itself. Keys are different ids of [1, vocab_size / 2), values different ids of [vocab_size / 2, vocab_size), 0 is the
// blank. Slot g = 0, 1, ... is drawn with weight (g + 1)^(power - 1), without replacement; the i-th drawn asks key i.
struct MqarOptions {
  int64_t vocab_size = 8192;
  int64_t seq_len = 64;
  int64_t pairs = 4;
  double power = 0.01;
  bool random_fill = false;  // our own generator, also with generator "numpy": the published filler is torch's
  int64_t passes = 1;        // just-read-twice, arXiv:2407.05483
  std::string generator = "numpy";

  template <class V>
  void visit(V& v) {
    v("vocab_size", vocab_size, "number of ids: 0 is the blank, the lower half are keys, the upper half values",
      between(4, kMostRecallIds));
    v("seq_len", seq_len, "tokens of an example, even", between(4, kMostTokens));
    v("pairs", pairs, "key-value pairs, each asked once", between(1, kMostTokens));
    v("power", power, "exponent of the law of the query places: 1 is uniform, near 0 soon after the context",
      between(1e-6, 10));
    v("random_fill", random_fill, "replace blanks by uniform ids");
    v("passes", passes, "how often the context is shown", between(1, kMostTokens));
    v("generator", generator, "numpy: bit for bit the published data; fast: the same distribution",
      one_of({"numpy", "fast"}));
  }
};

// `examples` rows. Needs an even seq_len < vocab_size with room for context and queries: 2 * pairs * (passes + 1) <=
// seq_len. Throws ConfigError naming the option. Equal arguments, equal data. generator "numpy" repeats multiquery_ar
// of corl-team/rebased and HazyResearch/zoology, whose test split has seed + 10.
TaskData generate(const MqarOptions& options, int64_t examples, uint64_t seed);

}  // namespace rebased
