#include "data/mqar.h"

#include "data/recall.h"

namespace rebased {
namespace {

void check(const MqarOptions& o) {
  check_recall_sizes("mqar", o.vocab_size, o.seq_len, o.pairs);
  require(o.passes >= 1 && o.passes <= o.seq_len, "mqar", "passes must be in [1, seq_len], found {}", o.passes);
  require(o.pairs <= o.seq_len / 2 / (o.passes + 1), "mqar",
          "2 * pairs * (passes + 1) must be at most seq_len = {}, found pairs = {}, passes = {}", o.seq_len, o.pairs,
          o.passes);
}

}  // namespace

TaskData generate(const MqarOptions& options, int64_t examples, uint64_t seed) {
  check(options);
  const int64_t context = 2 * options.pairs * options.passes, slots = (options.seq_len - context) / 2;
  TaskData data = blank_task(examples, options.seq_len, options.vocab_size);
  const std::vector<double> weights = slot_weights("mqar", slots, options.power);
  const auto draws = make_draws(options.generator, seed);
  const Bindings bound = draw_bindings(*draws, examples, options.vocab_size, options.pairs);
  const std::vector<int32_t> asked_at = draws->distinct(examples, weights, static_cast<int32_t>(options.pairs));

  for (int64_t row = 0; row < examples; ++row) {
    int32_t* inputs = data.inputs.data() + row * options.seq_len;
    int32_t* labels = data.labels.data() + row * options.seq_len;
    for (int64_t i = 0; i < options.pairs; ++i) {
      const int32_t key = bound.keys[row * options.pairs + i], value = bound.values[row * options.pairs + i];
      for (int64_t pass = 0; pass < options.passes; ++pass) {
        int32_t* pair = inputs + 2 * (pass * options.pairs + i);
        pair[0] = key;
        pair[1] = value;
      }
      const int64_t query = context + 2 * int64_t{asked_at[row * options.pairs + i]};
      inputs[query] = key;
      labels[query] = value;
    }
  }
  if (options.random_fill) fill_blanks(data, seed);
  return data;
}

}  // namespace rebased
