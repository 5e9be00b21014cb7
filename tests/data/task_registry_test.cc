#include "data/task_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "data/circuit_tasks.h"

namespace rebased {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Drawing {
  std::string header;
  Json options;
  uint64_t seed;
};

// The example in the header of each task.
std::map<std::string, Drawing> drawings() {
  const Json recall = {{"vocab_size", 20}, {"seq_len", 16}};
  const auto with = [](Json options, const Json& more) {
    options.update(more);
    return options;
  };
  return {
      {"mqar", {"mqar.h", with(recall, {{"pairs", 2}}), 8}},
      {"associative_recall", {"recall_tasks.h", with(recall, {{"pairs", 3}, {"queries", 2}}), 0}},
      {"haystack", {"recall_tasks.h", with(recall, {{"pairs", 3}, {"depth", 0.5}}), 1}},
      {"forgetting", {"recall_tasks.h", with(recall, {{"pairs", 3}, {"updates", 1}}), 1}},
      {"compositional", {"recall_tasks.h", {{"vocab_size", 31}, {"seq_len", 30}, {"side", 2}}, 0}},
      {"parity", {"circuit_tasks.h", {{"seq_len", 16}}, 2}},
      {"majority", {"circuit_tasks.h", {{"seq_len", 16}}, 5}},
      {"cumulative_parity", {"circuit_tasks.h", {{"seq_len", 16}}, 2}},
      {"cumulative_majority", {"circuit_tasks.h", {{"seq_len", 16}}, 6}},
      {"random_tokens", {"random_tokens.h", {{"vocab_size", 100}, {"seq_len", 8}}, 1}},
  };
}

TEST(TaskRegistry, EveryTaskIsDrawnInItsHeader) {
  const auto all = drawings();
  for (const TaskInfo& task : list_tasks()) {
    const Drawing& drawing = all.at(task.name);
    std::ifstream file(REBASED_TESTS_DIR "/../src/data/" + drawing.header);
    const std::string header((std::istreambuf_iterator<char>(file)), {});
    std::istringstream lines(draw_example(generate_task(task.name, drawing.options, 1, drawing.seed), 0));
    for (std::string line; std::getline(lines, line);) EXPECT_THAT(header, HasSubstr("\n//   " + line)) << task.name;
  }
}

TEST(TaskRegistry, EveryTaskIsAFunctionOfItsSeedWithIdsInTheVocabulary) {
  for (const auto& [name, drawing] : drawings()) {
    Json options = resolve_task_options(name, drawing.options);
    if (options.contains("generator")) options["generator"] = "fast";
    const TaskData data = generate_task(name, options, 20, 5), more = generate_task(name, options, 30, 5);
    EXPECT_EQ(data, generate_task(name, options, 20, 5)) << name;
    EXPECT_NE(data, generate_task(name, options, 20, 6)) << name;
    EXPECT_TRUE(std::equal(data.inputs.begin(), data.inputs.end(), more.inputs.begin())) << name;
    EXPECT_TRUE(std::equal(data.labels.begin(), data.labels.end(), more.labels.begin())) << name;
    for (int32_t id : data.inputs) EXPECT_TRUE(id >= 0 && id < data.vocab_size) << name;
    for (int32_t id : data.labels) EXPECT_TRUE(id == kIgnoreLabel || (id >= 0 && id < data.vocab_size)) << name;
  }
}

TEST(TaskRegistry, ResolvesOptionsAndKeepsWhatWasGiven) {
  const Json options = resolve_task_options("mqar", {{"pairs", 7}, {"generator", "fast"}});
  EXPECT_EQ(options["pairs"], 7);
  EXPECT_EQ(options["vocab_size"], 8192);
  EXPECT_EQ(options["generator"], "fast");
  EXPECT_EQ(generate_task("mqar", {{"pairs", 3}}, 2, 1).seq_len, 64);
  for (const TaskInfo& task : list_tasks()) {
    EXPECT_EQ(task.options.size(), resolve_task_options(task.name, Json::object()).size());
    EXPECT_FALSE(task.help.empty());
  }
}

TEST(TaskRegistry, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT([] { generate_task("mqra", Json::object(), 1, 1); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("unknown task 'mqra'"), HasSubstr("did you mean 'mqar'"))));
  EXPECT_THAT(
      [] {
        generate_task("mqar", {{"pair", 3}}, 1, 1);
      },
      ThrowsMessage<ConfigError>(AllOf(HasSubstr("pair"), HasSubstr("did you mean 'pairs'"))));
  EXPECT_THAT(
      [] {
        generate_task("mqar", {{"generator", "nunpy"}}, 1, 1);
      },
      ThrowsMessage<ConfigError>(HasSubstr("did you mean 'numpy'")));
  EXPECT_THROW(generate_task("mqar", {{"pairs", "four"}}, 1, 1), ConfigError);
  EXPECT_THROW(generate_task("mqar", 3, 1, 1), ConfigError);
  EXPECT_THROW(generate_task("haystack", {{"depth", 1.5}}, 1, 1), ConfigError);
  EXPECT_THROW(generate_task("parity", {{"seq_len", 1}}, 1, 1), ConfigError);
  EXPECT_THROW(generate_task("parity", Json::object(), 0, 1), ConfigError);
}

TEST(CircuitTasks, AnswersAreCountsOfTheBits) {
  constexpr int64_t kRows = 300, kLen = 9;
  const auto options = [](auto o) { return o.seq_len = kLen, o; };
  const TaskData parity = generate(options(ParityOptions{}), kRows, 1);
  const TaskData majority = generate(options(MajorityOptions{}), kRows, 1);
  const TaskData running_parity = generate(options(CumulativeParityOptions{}), kRows, 1);
  const TaskData running_majority = generate(options(CumulativeMajorityOptions{}), kRows, 1);
  int64_t all_ones = 0;
  for (int64_t row = 0; row < kRows; ++row) {
    int64_t ones = 0;
    for (int64_t t = 0; t < kLen; ++t) {
      const int64_t at = row * kLen + t;
      ones += running_parity.inputs[at];
      EXPECT_EQ(running_parity.labels[at], ones % 2);
      EXPECT_EQ(running_majority.labels[at], 2 * ones >= t + 1 ? 1 : 0);
      EXPECT_EQ(parity.inputs[at], t + 1 < kLen ? running_parity.inputs[at] : kEndOfBits);
      EXPECT_TRUE(t + 1 == kLen || parity.labels[at] == kIgnoreLabel);
    }
    all_ones += ones;
    const int64_t last = (row + 1) * kLen - 1;
    ones -= running_parity.inputs[last];
    EXPECT_EQ(parity.labels[last], ones % 2);
    EXPECT_EQ(majority.labels[last], ones > 4 ? 1 : 0);  // of eight bits: a tie is 0
  }
  EXPECT_NEAR(all_ones, kRows * kLen / 2, 6 * std::sqrt(kRows * kLen / 4.0));  // six standard deviations
  EXPECT_EQ(parity.vocab_size, 3);
  EXPECT_EQ(running_parity.vocab_size, 2);
}

}  // namespace
}  // namespace rebased
