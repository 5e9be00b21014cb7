#include "data/recall_tasks.h"

#include "data/recall.h"

namespace rebased {
namespace {

// Pointers to one example of the data.
struct Example {
  Example(TaskData& data, int64_t row)
      : inputs(data.inputs.data() + row * data.seq_len), labels(data.labels.data() + row * data.seq_len) {}

  void bind(int64_t at, int32_t key, int32_t value) {
    inputs[at] = key;
    inputs[at + 1] = value;
  }
  void ask(int64_t at, int32_t key, int32_t value) {
    inputs[at] = key;
    labels[at] = value;
  }

  int32_t* inputs;
  int32_t* labels;
};

}  // namespace

TaskData generate(const AssociativeRecallOptions& options, int64_t examples, uint64_t seed) {
  constexpr auto kTask = "associative_recall";
  const auto [pairs, queries] = std::pair(options.pairs, options.queries);
  check_recall_sizes(kTask, options.vocab_size, options.seq_len, pairs);
  require(queries >= 1 && queries <= pairs, kTask, "queries must be in [1, pairs = {}], found {}", pairs, queries);
  require(pairs <= (options.seq_len - queries) / 2, kTask,
          "2 * pairs + queries must be at most seq_len = {}, found pairs = {}, queries = {}", options.seq_len, pairs,
          queries);
  TaskData data = blank_task(examples, options.seq_len, options.vocab_size);
  const auto draws = make_draws("fast", seed);
  const Bindings bound = draw_bindings(*draws, examples, options.vocab_size, pairs);
  const auto asked = draws->distinct(examples, static_cast<int32_t>(pairs), static_cast<int32_t>(queries));
  const auto tail = static_cast<int32_t>(options.seq_len - 2 * pairs);
  const auto asked_at = draws->distinct(examples, tail, static_cast<int32_t>(queries));

  for (int64_t row = 0; row < examples; ++row) {
    Example example(data, row);
    const int32_t *keys = &bound.keys[row * pairs], *values = &bound.values[row * pairs];
    for (int64_t i = 0; i < pairs; ++i) example.bind(2 * i, keys[i], values[i]);
    for (int64_t q = row * queries; q < (row + 1) * queries; ++q) {
      example.ask(2 * pairs + asked_at[q], keys[asked[q]], values[asked[q]]);
    }
  }
  if (options.random_fill) fill_blanks(data, seed);
  return data;
}

TaskData generate(const HaystackOptions& options, int64_t examples, uint64_t seed) {
  constexpr auto kTask = "haystack";
  const int64_t pairs = options.pairs;
  check_recall_sizes(kTask, options.vocab_size, options.seq_len, pairs);
  require(pairs <= options.seq_len / 3, kTask, "3 * pairs must be at most seq_len = {}, found pairs = {}",
          options.seq_len, pairs);
  require(options.depth >= 0 && options.depth <= 1, kTask, "depth must be in [0, 1], found {}", options.depth);
  TaskData data = blank_task(examples, options.seq_len, options.vocab_size);
  const auto draws = make_draws(options.generator, seed);
  const Bindings bound = draw_bindings(*draws, examples, options.vocab_size, pairs);
  const auto order = draws->distinct(examples, static_cast<int32_t>(pairs), static_cast<int32_t>(pairs));
  const auto before = static_cast<int64_t>(static_cast<double>(options.seq_len - 3 * pairs) * options.depth);

  for (int64_t row = 0; row < examples; ++row) {
    Example example(data, row);
    for (int64_t i = 0; i < pairs; ++i) {
      const int32_t key = bound.keys[row * pairs + i], value = bound.values[row * pairs + i];
      example.bind(before + 2 * i, key, value);
      example.ask(options.seq_len - pairs + order[row * pairs + i], key, value);
    }
  }
  if (options.random_fill) fill_blanks(data, seed);
  return data;
}

TaskData generate(const ForgettingOptions& options, int64_t examples, uint64_t seed) {
  constexpr auto kTask = "forgetting";
  const auto [pairs, updates] = std::pair(options.pairs, options.updates);
  check_recall_sizes(kTask, options.vocab_size, options.seq_len, pairs);
  require(updates >= 0 && updates <= pairs, kTask, "updates must be in [0, pairs = {}], found {}", pairs, updates);
  require(pairs <= (options.seq_len / 2 - updates) / 2, kTask,
          "4 * pairs + 2 * updates must be at most seq_len = {}, found pairs = {}, updates = {}", options.seq_len,
          pairs, updates);
  const int64_t context = 2 * (pairs + updates);
  TaskData data = blank_task(examples, options.seq_len, options.vocab_size);
  const auto weights = slot_weights(kTask, (options.seq_len - context) / 2, options.power);
  const auto draws = make_draws("fast", seed);
  Bindings bound = draw_bindings(*draws, examples, options.vocab_size, pairs);
  const auto updated = draws->distinct(examples, static_cast<int32_t>(pairs), static_cast<int32_t>(updates));
  const auto first_value = static_cast<int32_t>(options.vocab_size / 2);
  const auto others = static_cast<int32_t>(options.vocab_size - first_value - 1);  // values but the one to forget
  const auto fresh = draws->distinct(examples * updates, others, 1);
  const auto asked_at = draws->distinct(examples, weights, static_cast<int32_t>(pairs));

  for (int64_t row = 0; row < examples; ++row) {
    Example example(data, row);
    int32_t *keys = &bound.keys[row * pairs], *values = &bound.values[row * pairs];
    for (int64_t i = 0; i < pairs; ++i) example.bind(2 * i, keys[i], values[i]);
    for (int64_t u = 0; u < updates; ++u) {
      const int32_t i = updated[row * updates + u], value = first_value + fresh[row * updates + u];
      values[i] = value < values[i] ? value : value + 1;
      example.bind(2 * (pairs + u), keys[i], values[i]);
    }
    for (int64_t i = 0; i < pairs; ++i) example.ask(context + 2 * asked_at[row * pairs + i], keys[i], values[i]);
  }
  if (options.random_fill) fill_blanks(data, seed);
  return data;
}

TaskData generate(const CompositionalOptions& options, int64_t examples, uint64_t seed) {
  constexpr auto kTask = "compositional";
  const int64_t side = options.side;
  check_recall_sizes(kTask, options.vocab_size, options.seq_len, 1);
  require(side >= 1 && side <= options.seq_len && side * side <= options.seq_len / 6, kTask,
          "6 * side^2 must be in [6, seq_len = {}], found side = {}", options.seq_len, side);
  const int64_t pairs = side * side, context = 3 * pairs;
  TaskData data = blank_task(examples, options.seq_len, options.vocab_size);
  const auto weights = slot_weights(kTask, (options.seq_len - context) / 3, options.power);
  const auto draws = make_draws("fast", seed);
  const auto third = static_cast<int32_t>(options.vocab_size / 3), count = static_cast<int32_t>(pairs);
  const auto first_keys = draws->distinct(examples, third - 1, static_cast<int32_t>(side));
  const auto second_keys = draws->distinct(examples, third, static_cast<int32_t>(side));
  const auto order = draws->distinct(examples, count, count);
  const auto values = draws->distinct(examples, static_cast<int32_t>(options.vocab_size - 2 * third), count);
  const auto asked_at = draws->distinct(examples, weights, count);

  for (int64_t row = 0; row < examples; ++row) {
    Example example(data, row);
    for (int64_t i = 0; i < pairs; ++i) {
      const int64_t cell = order[row * pairs + i];
      const int32_t first = 1 + first_keys[row * side + cell / side];
      const int32_t second = third + second_keys[row * side + cell % side];
      const int32_t value = 2 * third + values[row * pairs + i];
      example.inputs[3 * i] = first;
      example.bind(3 * i + 1, second, value);
      const int64_t query = context + 3 * int64_t{asked_at[row * pairs + i]};
      example.inputs[query] = first;
      example.ask(query + 1, second, value);
    }
  }
  if (options.random_fill) fill_blanks(data, seed);
  return data;
}

}  // namespace rebased
