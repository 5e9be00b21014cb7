// Data sets that the published generators made (corl-team/rebased 2dc269e, numpy 1.24), recorded in tests/golden/mqar.

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "data/mqar.h"
#include "data/recall.h"
#include "data/recall_tasks.h"
#include "io/safetensors.h"

namespace rebased {
namespace {

SafetensorsFile golden(const std::string& name) {
  return SafetensorsFile::open(REBASED_TESTS_DIR "/golden/mqar/" + name + ".safetensors");
}

std::vector<int32_t> ids(const TensorView& tensor) {
  std::vector<int64_t> values(static_cast<size_t>(tensor.shape.numel()));
  std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(int64_t));
  return {values.begin(), values.end()};
}

template <class Options>
void expect_published(const SafetensorsFile& file, const Options& options, uint64_t seed) {
  const TaskData train = generate(options, 8, seed), test = generate(options, 8, seed + 10);
  EXPECT_EQ(train.inputs, ids(file.at("train_inputs")));
  EXPECT_EQ(train.labels, ids(file.at("train_labels")));
  EXPECT_EQ(test.inputs, ids(file.at("test_inputs")));
  EXPECT_EQ(test.labels, ids(file.at("test_labels")));
}

// gap_probability is float32: half an ulp of it, relatively 2^-24.
void expect_published_weights(const SafetensorsFile& file, const MqarOptions& options) {
  const std::vector<float> expected = read_f32(file.at("gap_probability"));
  const std::vector<double> weights = slot_weights("mqar", static_cast<int64_t>(expected.size()), options.power);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t g = 0; g < expected.size(); ++g) EXPECT_NEAR(weights[g] / sum, expected[g], expected[g] * 0x1p-23);
}

TEST(PublishedData, Mqar) {
  const SafetensorsFile file = golden("mqar_V8192T64kv8");
  MqarOptions options;
  options.pairs = 8;
  expect_published(file, options, 7);
  expect_published_weights(file, options);
}

TEST(PublishedData, PackedMqar) {
  const SafetensorsFile file = golden("mqar_V128T32kv8");
  MqarOptions options;
  options.vocab_size = 128;
  options.seq_len = 32;
  options.pairs = 8;
  expect_published(file, options, 11);
  expect_published_weights(file, options);
}

// The filler is torch's; where it stands, and all that is not filler, is numpy's.
TEST(PublishedData, MqarWithRandomFill) {
  const SafetensorsFile file = golden("mqar_V8192T64kv4_rand");
  const TaskData blank = generate(MqarOptions{}, 8, 3);
  MqarOptions options;
  options.random_fill = true;
  const TaskData filled = generate(options, 8, 3);
  const std::vector<int32_t> inputs = ids(file.at("train_inputs"));
  EXPECT_EQ(filled.labels, ids(file.at("train_labels")));
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (blank.inputs[i] == 0) continue;
    EXPECT_EQ(inputs[i], blank.inputs[i]);
    EXPECT_EQ(filled.inputs[i], blank.inputs[i]);
  }
}

TEST(PublishedData, Haystack) {
  HaystackOptions options;
  options.vocab_size = 256;
  options.pairs = 8;
  options.depth = 0.5;
  options.generator = "numpy";
  expect_published(golden("mqar_haystack_V256T64kv8_depth0.5"), options, 9);
}

}  // namespace
}  // namespace rebased
