#include "data/recall_tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// One row, taken apart by the definitions of the header alone.
struct Row {
  Row(const TaskData& data, int64_t row)
      : inputs(data.inputs.begin() + row * data.seq_len, data.inputs.begin() + (row + 1) * data.seq_len),
        labels(data.labels.begin() + row * data.seq_len, data.labels.begin() + (row + 1) * data.seq_len),
        half(static_cast<int32_t>(data.vocab_size / 2)) {}

  // Reads the pairs of [begin, end); a later binding of a key replaces the earlier one.
  std::map<int32_t, int32_t> bindings(int64_t begin, int64_t end) const {
    std::map<int32_t, int32_t> bound;
    for (int64_t t = begin; t < end; t += 2) {
      RC_ASSERT(inputs[t] >= 1 && inputs[t] < half);
      RC_ASSERT(inputs[t + 1] >= half && inputs[t + 1] < 2 * half + 1);
      bound[inputs[t]] = inputs[t + 1];
    }
    return bound;
  }
  // The queries of [begin, T): position -> key. Everything before `begin` is unlabelled; blanks are 0.
  std::map<int64_t, int32_t> queries(int64_t begin, const std::map<int32_t, int32_t>& bound, bool filled) const {
    std::map<int64_t, int32_t> found;
    for (int64_t t = 0; t < static_cast<int64_t>(inputs.size()); ++t) {
      if (labels[t] == kIgnoreLabel) {
        RC_ASSERT(t < begin || filled || inputs[t] == 0);
        continue;
      }
      RC_ASSERT(t >= begin);
      RC_ASSERT(bound.count(inputs[t]) == 1);
      RC_ASSERT(labels[t] == bound.at(inputs[t]));
      found[t] = inputs[t];
    }
    return found;
  }

  std::vector<int32_t> inputs, labels;
  int32_t half;
};

std::set<int32_t> keys_of(const std::map<int64_t, int32_t>& queries) {
  std::set<int32_t> keys;
  for (const auto& [position, key] : queries) keys.insert(key);
  return keys;
}

// Pairs, vocabulary and filler by chance; seq_len is at least `tokens(pairs)`.
void draw_sizes(RecallOptions& options, const std::function<int64_t(int64_t)>& tokens) {
  options.pairs = *rc::gen::inRange<int64_t>(1, 10);
  options.seq_len = tokens(options.pairs) + *rc::gen::inRange<int64_t>(0, 30);
  options.seq_len += options.seq_len % 2;
  options.vocab_size = options.seq_len + *rc::gen::inRange<int64_t>(1, 100);
  options.random_fill = *rc::gen::arbitrary<bool>();
}

template <class Options>
TaskData three_rows(const Options& options) {
  return generate(options, 3, *rc::gen::arbitrary<uint32_t>());
}

TEST(AssociativeRecall, AsksSomeKeysOnceForTheirValues) {
  EXPECT_TRUE(rc::check([] {
    AssociativeRecallOptions options;
    draw_sizes(options, [](int64_t pairs) { return 3 * pairs; });
    options.queries = *rc::gen::inRange<int64_t>(1, options.pairs + 1);
    const TaskData data = three_rows(options);
    for (int64_t i = 0; i < data.examples; ++i) {
      const Row row(data, i);
      const auto bound = row.bindings(0, 2 * options.pairs);
      const auto queries = row.queries(2 * options.pairs, bound, options.random_fill);
      RC_ASSERT(static_cast<int64_t>(bound.size()) == options.pairs);
      RC_ASSERT(static_cast<int64_t>(queries.size()) == options.queries);
      RC_ASSERT(keys_of(queries).size() == queries.size());
    }
  }));
}

TEST(AssociativeRecall, QueriesReachEveryPlaceOfTheTail) {
  AssociativeRecallOptions options;
  options.vocab_size = 20;
  options.seq_len = 16;
  const TaskData data = generate(options, 1000, 3);
  std::vector<int> counts(16);
  for (size_t i = 0; i < data.labels.size(); ++i) counts[i % 16] += data.labels[i] != kIgnoreLabel;
  // Eight places, 125 expected, standard deviation 10.5: six deviations fail for one seed in 60 million.
  for (int t = 8; t < 16; ++t) EXPECT_NEAR(counts[t], 125, 63) << t;
}

TEST(Haystack, PairsAtTheDepthAndAllQueriesAtTheEnd) {
  EXPECT_TRUE(rc::check([] {
    HaystackOptions options;
    draw_sizes(options, [](int64_t pairs) { return 3 * pairs; });
    options.depth = *rc::gen::elementOf(std::vector<double>{0, 0.25, 0.5, 1});
    options.generator = *rc::gen::elementOf(std::vector<std::string>{"numpy", "fast"});
    const TaskData data = three_rows(options);
    const auto before = static_cast<int64_t>(options.depth * static_cast<double>(options.seq_len - 3 * options.pairs));
    const int64_t end = options.seq_len - options.pairs;
    for (int64_t i = 0; i < data.examples; ++i) {
      const Row row(data, i);
      const auto bound = row.bindings(before, before + 2 * options.pairs);
      const auto queries = row.queries(end, bound, options.random_fill);
      RC_ASSERT(static_cast<int64_t>(queries.size()) == options.pairs);
      RC_ASSERT(static_cast<int64_t>(keys_of(queries).size()) == options.pairs);
      for (int64_t t = 0; t < end; ++t) {
        const bool in_document = t < before || t >= before + 2 * options.pairs;
        RC_ASSERT(!in_document || options.random_fill || row.inputs[t] == 0);
      }
    }
  }));
}

TEST(Forgetting, TheLatestValueCountsAndDiffersFromTheFirst) {
  EXPECT_TRUE(rc::check([] {
    ForgettingOptions options;
    draw_sizes(options, [](int64_t pairs) { return 6 * pairs; });
    options.updates = *rc::gen::inRange<int64_t>(0, options.pairs + 1);
    options.power = *rc::gen::elementOf(std::vector<double>{0.01, 1, 4});
    const TaskData data = three_rows(options);
    const int64_t first = 2 * options.pairs, context = first + 2 * options.updates;
    for (int64_t i = 0; i < data.examples; ++i) {
      const Row row(data, i);
      const auto old = row.bindings(0, first), updates = row.bindings(first, context), bound = row.bindings(0, context);
      RC_ASSERT(static_cast<int64_t>(old.size()) == options.pairs);
      RC_ASSERT(static_cast<int64_t>(updates.size()) == options.updates);
      RC_ASSERT(bound.size() == old.size());
      for (const auto& [key, value] : updates) RC_ASSERT(old.at(key) != value);
      const auto queries = row.queries(context, bound, options.random_fill);
      RC_ASSERT(keys_of(queries).size() == bound.size() && queries.size() == bound.size());
      for (const auto& [position, key] : queries) RC_ASSERT((position - context) % 2 == 0);
    }
  }));
}

TEST(Forgetting, TheNewValueIsAnyOfTheOthers) {
  ForgettingOptions options;  // values 3, 4, 5, 6 for one key that is bound twice
  options.vocab_size = 7;
  options.seq_len = 6;
  options.pairs = 1;
  options.updates = 1;
  const TaskData data = generate(options, 1200, 1);
  std::map<std::pair<int32_t, int32_t>, int> counts;
  for (int64_t row = 0; row < 1200; ++row) ++counts[{data.inputs[row * 6 + 1], data.inputs[row * 6 + 3]}];
  EXPECT_EQ(counts.size(), 12u);
  // 100 expected for each ordered pair, standard deviation 9.6.
  for (const auto& [values, count] : counts) EXPECT_NEAR(count, 100, 58) << values.first << " -> " << values.second;
}

TEST(Compositional, EveryPairOfKeysHasItsValueAndIsAskedOnce) {
  EXPECT_TRUE(rc::check([] {
    CompositionalOptions options;
    options.side = *rc::gen::inRange<int64_t>(1, 5);
    options.seq_len = 6 * options.side * options.side + 2 * *rc::gen::inRange<int64_t>(0, 20);
    options.vocab_size = options.seq_len + *rc::gen::inRange<int64_t>(1, 100);
    options.power = *rc::gen::elementOf(std::vector<double>{0.01, 1});
    options.random_fill = *rc::gen::arbitrary<bool>();
    const TaskData data = three_rows(options);
    const int64_t pairs = options.side * options.side, context = 3 * pairs, third = options.vocab_size / 3;
    for (int64_t i = 0; i < data.examples; ++i) {
      const Row row(data, i);
      std::map<std::pair<int32_t, int32_t>, int32_t> bound;
      std::set<int32_t> first_keys, second_keys, values;
      for (int64_t t = 0; t < context; t += 3) {
        first_keys.insert(row.inputs[t]);
        second_keys.insert(row.inputs[t + 1]);
        values.insert(row.inputs[t + 2]);
        bound[{row.inputs[t], row.inputs[t + 1]}] = row.inputs[t + 2];
      }
      RC_ASSERT(static_cast<int64_t>(first_keys.size()) == options.side && *first_keys.begin() >= 1);
      RC_ASSERT(*first_keys.rbegin() < third && *second_keys.begin() >= third && *second_keys.rbegin() < 2 * third);
      RC_ASSERT(static_cast<int64_t>(second_keys.size()) == options.side && *values.begin() >= 2 * third);
      RC_ASSERT(static_cast<int64_t>(bound.size()) == pairs && static_cast<int64_t>(values.size()) == pairs);
      for (int64_t t = 0; t < options.seq_len; ++t) {
        if (row.labels[t] == kIgnoreLabel) continue;
        RC_ASSERT(t > context && (t - context) % 3 == 1);
        const auto asked = bound.find({row.inputs[t - 1], row.inputs[t]});
        RC_ASSERT(asked != bound.end() && asked->second == row.labels[t]);
        bound.erase(asked);
      }
      RC_ASSERT(bound.empty());
    }
  }));
}

template <class Options>
void expect_refused(const Options& options, const std::string& message) {
  EXPECT_THAT([&] { generate(options, 2, 1); }, ThrowsMessage<ConfigError>(HasSubstr(message)));
}

TEST(RecallTasks, RefuseSizesThatDoNotFit) {
  AssociativeRecallOptions recall;
  recall.queries = 5;
  expect_refused(recall, "associative_recall: queries must be in [1, pairs = 4], found 5");
  recall.pairs = 30;
  expect_refused(recall, "associative_recall: 2 * pairs + queries must be at most seq_len = 64");
  HaystackOptions haystack;
  haystack.pairs = 22;
  expect_refused(haystack, "haystack: 3 * pairs must be at most seq_len = 64, found pairs = 22");
  haystack.pairs = 21;
  haystack.depth = 1.5;
  expect_refused(haystack, "haystack: depth must be in [0, 1], found 1.5");
  ForgettingOptions forgetting;
  forgetting.updates = 5;
  expect_refused(forgetting, "forgetting: updates must be in [0, pairs = 4], found 5");
  forgetting.pairs = 15;
  expect_refused(forgetting, "forgetting: 4 * pairs + 2 * updates must be at most seq_len = 64");
  forgetting.pairs = 13;
  forgetting.power = 11;
  expect_refused(forgetting, "forgetting: power must be in [1e-6, 10], found 11");
  CompositionalOptions compositional;
  compositional.side = 4;
  expect_refused(compositional, "compositional: 6 * side^2 must be in [6, seq_len = 64], found side = 4");
  compositional.side = int64_t{1} << 33;
  expect_refused(compositional, "compositional: 6 * side^2 must be in");
}

}  // namespace
}  // namespace rebased
