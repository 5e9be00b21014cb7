#include "data/mqar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "data/recall.h"
#include "data/sha256.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<int32_t> row_of(const std::vector<int32_t>& values, const TaskData& data, int64_t row, int64_t count) {
  const auto begin = values.begin() + row * data.seq_len;
  return {begin, begin + count};
}

MqarOptions sized(int64_t vocab_size, int64_t seq_len, int64_t pairs) {
  MqarOptions options;
  options.vocab_size = vocab_size;
  options.seq_len = seq_len;
  options.pairs = pairs;
  return options;
}

// Rows printed by the published generator (numpy 1.24.2).
TEST(Mqar, RepeatsThePublishedRows) {
  const TaskData data = generate(sized(8192, 16, 2), 2, 42);
  EXPECT_THAT(row_of(data.inputs, data, 0, 16),
              ElementsAre(1299, 7967, 2712, 4705, 0, 0, 0, 0, 2712, 0, 0, 0, 1299, 0, 0, 0));
  EXPECT_THAT(row_of(data.inputs, data, 1, 16),
              ElementsAre(3342, 4483, 2204, 7595, 3342, 0, 2204, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  std::vector<int32_t> labels(32, kIgnoreLabel);
  labels[8] = 4705;
  labels[12] = 7967;
  labels[16 + 4] = 4483;
  labels[16 + 6] = 7595;
  EXPECT_EQ(data.labels, labels);
}

TEST(Mqar, RepeatsThePublishedQueries) {
  const TaskData data = generate(sized(8192, 64, 4), 2, 42);
  EXPECT_THAT(row_of(data.inputs, data, 0, 8), ElementsAre(1299, 7967, 2712, 4705, 3544, 5028, 3358, 4818));
  EXPECT_THAT(row_of(data.inputs, data, 1, 8), ElementsAre(3342, 4483, 2204, 7595, 812, 6992, 2603, 6134));
  std::map<int64_t, int32_t> queries;
  for (int64_t i = 0; i < 128; ++i) {
    if (data.labels[i] != kIgnoreLabel) queries[i] = data.inputs[i];
  }
  const std::map<int64_t, int32_t> expected = {{8, 3544},      {16, 3358},      {26, 2712},      {42, 1299},
                                               {64 + 8, 2204}, {64 + 10, 3342}, {64 + 12, 2603}, {64 + 40, 812}};
  EXPECT_EQ(queries, expected);
}

TEST(Mqar, RepeatsThePublishedDataBitForBit) {
  const TaskData data = generate(sized(8192, 128, 16), 1000, 42);
  EXPECT_EQ(sha256_of_int64(data.inputs), "941177657aabf321fffbb155dddd8bd1955a6c7eecf83503b7147e93c657a179");
  EXPECT_EQ(sha256_of_int64(data.labels), "85f94ab2e2f746f8036dfa39f3c50471504cb273684a9e7fab4d8cf019fe1d12");
}

// Walks one row as a reader would: the context binds, every label is the value bound to the key at its position.
void check_row(const TaskData& data, int64_t row, const MqarOptions& options) {
  const int32_t* inputs = data.inputs.data() + row * data.seq_len;
  const int32_t* labels = data.labels.data() + row * data.seq_len;
  const int64_t context = 2 * options.pairs * options.passes, half = options.vocab_size / 2;
  std::map<int32_t, int32_t> bound;
  std::set<int32_t> values;
  for (int64_t t = 0; t < context; t += 2) {
    RC_ASSERT(inputs[t] >= 1 && inputs[t] < half);
    RC_ASSERT(inputs[t + 1] >= half && inputs[t + 1] < options.vocab_size);
    RC_ASSERT(inputs[t] == inputs[t % (2 * options.pairs)]);
    RC_ASSERT(bound.emplace(inputs[t], inputs[t + 1]).first->second == inputs[t + 1]);
    RC_ASSERT(labels[t] == kIgnoreLabel && labels[t + 1] == kIgnoreLabel);
    values.insert(inputs[t + 1]);
  }
  RC_ASSERT(static_cast<int64_t>(bound.size()) == options.pairs);
  RC_ASSERT(static_cast<int64_t>(values.size()) == options.pairs);
  for (int64_t t = context; t < data.seq_len; ++t) {
    RC_ASSERT(inputs[t] >= 0 && inputs[t] < options.vocab_size);
    if (labels[t] == kIgnoreLabel) {
      RC_ASSERT(options.random_fill || inputs[t] == 0);
      continue;
    }
    RC_ASSERT((t - context) % 2 == 0);
    const auto asked = bound.find(inputs[t]);
    RC_ASSERT(asked != bound.end());
    RC_ASSERT(labels[t] == asked->second);
    bound.erase(asked);
  }
  RC_ASSERT(bound.empty());  // every key was asked exactly once
}

MqarOptions any_options() {
  MqarOptions options;
  options.pairs = *rc::gen::inRange<int64_t>(1, 12);
  options.passes = *rc::gen::inRange<int64_t>(1, 4);
  options.seq_len = 2 * options.pairs * (options.passes + 1) + 2 * *rc::gen::inRange<int64_t>(0, 20);
  options.vocab_size = options.seq_len + *rc::gen::inRange<int64_t>(1, 200);
  options.power = *rc::gen::elementOf(std::vector<double>{0.01, 0.5, 1, 3});
  options.random_fill = *rc::gen::arbitrary<bool>();
  options.generator = *rc::gen::elementOf(std::vector<std::string>{"numpy", "fast"});
  return options;
}

TEST(Mqar, EveryLabelIsTheValueBoundToItsKey) {
  EXPECT_TRUE(rc::check([] {
    const MqarOptions options = any_options();
    const TaskData data = generate(options, 3, *rc::gen::arbitrary<uint32_t>());
    for (int64_t row = 0; row < data.examples; ++row) check_row(data, row, options);
  }));
}

TEST(Mqar, OneSeedOneDataSet) {
  EXPECT_TRUE(rc::check([] {
    MqarOptions options = any_options();
    options.vocab_size = 1024;  // so that two seeds agree by chance once in 512^4
    const auto seed = *rc::gen::inRange<uint64_t>(0, 1000);
    const TaskData data = generate(options, 4, seed);
    RC_ASSERT(data == generate(options, 4, seed));
    RC_ASSERT(!(data == generate(options, 4, seed + 1)));
  }));
}

TEST(Mqar, FewerFastExamplesAreAPrefixOfMore) {
  EXPECT_TRUE(rc::check([] {
    MqarOptions options = any_options();
    options.generator = "fast";
    const auto seed = *rc::gen::arbitrary<uint64_t>();
    const TaskData few = generate(options, 3, seed), more = generate(options, 8, seed);
    RC_ASSERT(std::equal(few.inputs.begin(), few.inputs.end(), more.inputs.begin()));
    RC_ASSERT(std::equal(few.labels.begin(), few.labels.end(), more.labels.begin()));
  }));
}

TEST(Mqar, ThePackedQueryAreaUsesEverySlot) {
  const TaskData data = generate(sized(64, 48, 12), 5, 1);
  for (int64_t i = 0; i < 5 * 48; ++i) EXPECT_EQ(data.labels[i] != kIgnoreLabel, i % 48 >= 24 && i % 2 == 0);
}

TEST(Mqar, RandomFillChangesBlanksAlone) {
  MqarOptions options = sized(128, 32, 4);
  const TaskData blank = generate(options, 200, 5);
  options.random_fill = true;
  const TaskData filled = generate(options, 200, 5);
  EXPECT_EQ(filled.labels, blank.labels);
  std::vector<int> counts(128);
  int blanks = 0;
  for (size_t i = 0; i < blank.inputs.size(); ++i) {
    if (blank.inputs[i] != 0) {
      EXPECT_EQ(filled.inputs[i], blank.inputs[i]);
    } else {
      ++counts.at(filled.inputs[i]);
      ++blanks;
    }
  }
  // Uniform over all 128 ids, 0 included: a count is binomial; six deviations fail once in 4 million seeds.
  const double expected = blanks / 128.0;
  for (int count : counts) EXPECT_NEAR(count, expected, 6 * std::sqrt(expected));
}

// How often slot g was drawn i-th, [pairs, slots], for every i: the whole marginal law of the places.
std::vector<double> slot_counts(const MqarOptions& options, int64_t examples, uint64_t seed) {
  const TaskData data = generate(options, examples, seed);
  const int64_t context = 2 * options.pairs, slots = (options.seq_len - context) / 2;
  std::vector<double> counts(static_cast<size_t>(options.pairs * slots));
  for (int64_t row = 0; row < examples; ++row) {
    const int32_t* inputs = data.inputs.data() + row * options.seq_len;
    for (int64_t i = 0; i < options.pairs; ++i) {
      for (int64_t g = 0; g < slots; ++g) {
        if (inputs[context + 2 * g] == inputs[2 * i]) ++counts[i * slots + g];
      }
    }
  }
  return counts;
}

// Two-sample chi-square of each drawing step; both samples have `examples` rows, so the statistic of a step is
// sum (a - b)^2 / (a + b) with slots - 1 = 9 degrees of freedom. 45.1 is exceeded with probability 1e-6 a step.
TEST(Mqar, FastAndNumpyDrawSlotsFromOneDistribution) {
  for (double power : {0.01, 1.0, 2.0}) {
    MqarOptions options = sized(64, 28, 4);
    options.power = power;
    const std::vector<double> a = slot_counts(options, 20000, 1);
    options.generator = "fast";
    const std::vector<double> b = slot_counts(options, 20000, 1);
    for (int64_t i = 0; i < 4; ++i) {
      double chi_square = 0;
      for (int64_t j = i * 10; j < (i + 1) * 10; ++j) chi_square += (a[j] - b[j]) * (a[j] - b[j]) / (a[j] + b[j]);
      EXPECT_LT(chi_square, 45.1) << "power " << power << ", drawn as number " << i;
    }
  }
}

// The first drawn slot has the weights themselves as its law; 10 slots, 9 degrees of freedom, false alarm 1e-6.
TEST(Mqar, TheFirstQueryFollowsTheWeights) {
  MqarOptions options = sized(64, 28, 4);
  options.generator = "fast";
  options.power = 0.3;
  const std::vector<double> counts = slot_counts(options, 20000, 2), weights = slot_weights("mqar", 10, 0.3);
  double sum = 0, chi_square = 0;
  for (double w : weights) sum += w;
  for (int g = 0; g < 10; ++g) {
    const double expected = 20000 * weights[g] / sum;
    chi_square += (counts[g] - expected) * (counts[g] - expected) / expected;
  }
  EXPECT_LT(chi_square, 45.1);
}

TEST(Mqar, FastKeysAndValuesAreUniform) {
  MqarOptions options = sized(40, 16, 4);
  options.generator = "fast";
  const TaskData data = generate(options, 20000, 9);
  std::vector<double> counts(40);
  for (int64_t row = 0; row < data.examples; ++row) {
    for (int64_t t = 0; t < 8; ++t) ++counts[data.inputs[row * 16 + t]];
  }
  for (int id = 1; id < 40; ++id) {
    const double p = 4.0 / (id < 20 ? 19 : 20), expected = 20000 * p;
    EXPECT_NEAR(counts[id], expected, 6 * std::sqrt(expected * (1 - p))) << id;  // 39 ids: false alarm 1e-7
  }
}

void expect_refused(const MqarOptions& options, const std::string& message, uint64_t seed = 1) {
  EXPECT_THAT([&] { generate(options, 2, seed); }, ThrowsMessage<ConfigError>(HasSubstr(message)));
}

TEST(Mqar, RefusesWhatCannotBeDrawn) {
  expect_refused(sized(128, 63, 4), "mqar: seq_len must be even and at least 2, found 63");
  expect_refused(sized(64, 64, 4), "mqar: vocab_size must be greater than seq_len = 64, found 64");
  expect_refused(sized(128, 64, 0), "mqar: pairs must be at least 1, found 0");
  expect_refused(sized(128, 64, 17), "found pairs = 17, passes = 1");
  expect_refused(sized(int64_t{1} << 31, 64, 4), "mqar: vocab_size must be less than 2^31");
  MqarOptions options = sized(128, 64, 8);
  options.passes = 4;
  expect_refused(options, "mqar: 2 * pairs * (passes + 1) must be at most seq_len = 64, found pairs = 8, passes = 4");
  options.passes = INT64_MAX;
  expect_refused(options, "mqar: passes must be in [1, seq_len]");
  options.passes = 1;
  options.power = 0;
  expect_refused(options, "mqar: power must be in [1e-6, 10], found 0");
  options.power = std::nan("");
  expect_refused(options, "mqar: power must be in [1e-6, 10], found nan");
  options.power = 1;
  options.generator = "fats";
  expect_refused(options, "generator must be \"numpy\" or \"fast\", found \"fats\"");
  options.generator = "numpy";
  expect_refused(options, "generator \"numpy\" takes seeds up to 2^32 - 1", uint64_t{1} << 32);
  EXPECT_THAT([] { generate(MqarOptions{}, 0, 1); },
              ThrowsMessage<ConfigError>(HasSubstr("examples must be at least 1")));
  EXPECT_THROW(generate(MqarOptions{}, int64_t{1} << 40, 1), ConfigError);
}

}  // namespace
}  // namespace rebased
