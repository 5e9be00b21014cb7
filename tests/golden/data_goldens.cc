#include <gtest/gtest.h>

#include <numeric>
#include <utility>

#include "data/mqar.h"
#include "data/recall.h"
#include "data/recall_tasks.h"
#include "golden/handlers.h"

namespace rebased::testing {
namespace {

std::vector<int64_t> wide(const std::vector<int32_t>& ids) { return {ids.begin(), ids.end()}; }

// The published filler of blanks is torch's: where it stands, and all that is not filler, is numpy's.
void expect_same_but_filler(const std::vector<int64_t>& found, const std::vector<int32_t>& blank, int64_t vocab_size) {
  ASSERT_EQ(found.size(), blank.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const bool same = blank[i] == 0 || found[i] == blank[i];
    EXPECT_TRUE(same && found[i] >= 0 && found[i] < vocab_size) << "position " << i << ": " << found[i];
  }
}

// One split of a golden: tensors PREFIXinputs and PREFIXlabels, bit for bit.
template <class Options>
void check_split(const Golden& golden, const std::string& prefix, Options options, uint64_t seed) {
  if (!golden.has(prefix + "inputs")) return;
  SCOPED_TRACE(prefix + "inputs");
  const int64_t examples = golden.shape(prefix + "inputs")[0];
  const std::vector<int64_t> inputs = golden.ids(prefix + "inputs"), labels = golden.ids(prefix + "labels");
  const bool filled = std::exchange(options.random_fill, false);
  const TaskData blank = generate(options, examples, seed);
  EXPECT_EQ(labels, wide(blank.labels));
  if (!filled) {
    EXPECT_EQ(inputs, wide(blank.inputs));
    return;
  }
  expect_same_but_filler(inputs, blank.inputs, options.vocab_size);
  options.random_fill = true;
  const TaskData ours = generate(options, examples, seed);
  EXPECT_EQ(ours.labels, blank.labels);
  expect_same_but_filler(wide(ours.inputs), blank.inputs, options.vocab_size);
}

// gap_probability is float32: half an ulp of it, relatively 2^-24.
void check_slot_weights(const Golden& golden, double power) {
  const HostArray expected = golden.array("gap_probability");
  const std::vector<double> weights = slot_weights("mqar", expected.shape.numel(), power);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t g = 0; g < weights.size(); ++g) {
    EXPECT_NEAR(weights[g] / sum, expected.data[g], expected.data[g] * 0x1p-23) << "slot " << g;
  }
}

template <class Options>
Options sized(const Golden& golden) {
  Options options;
  options.vocab_size = golden.setting_or<int64_t>("vocab_size", 8192);
  options.seq_len = golden.setting_or<int64_t>("input_seq_len", 64);
  options.pairs = golden.setting_or<int64_t>("num_kv_pairs", 4);
  options.random_fill = golden.setting_or<bool>("random_non_queries", true);
  options.generator = "numpy";
  return options;
}

// corl-team's generators draw their test split with seed + 10; zoology's make one split.
constexpr uint64_t kTestSeed = 10;

}  // namespace

void check_mqar_data(const Golden& golden) {
  auto options = sized<MqarOptions>(golden);
  options.passes = golden.setting_or<int64_t>("num_passes", 1);
  const auto power = golden.setting_or<double>("power_a", 0.01);
  const auto seed = golden.setting<uint64_t>("seed");
  options.power = golden.setting_or<double>("test_power_a", power);
  check_split(golden, "test_", options, seed + kTestSeed);
  options.power = golden.setting_or<double>("train_power_a", power);
  check_split(golden, "train_", options, seed);
  check_split(golden, "", options, seed);
  if (golden.has("gap_probability")) check_slot_weights(golden, options.power);
}

void check_haystack_data(const Golden& golden) {
  auto options = sized<HaystackOptions>(golden);
  options.depth = golden.setting_or<double>("document_depth", 0);
  const auto seed = golden.setting<uint64_t>("seed");
  check_split(golden, "test_", options, seed + kTestSeed);
  check_split(golden, "train_", options, seed);
}

}  // namespace rebased::testing
