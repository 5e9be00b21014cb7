#include "eval/recall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "data/mqar.h"
#include "runtime/tiny_model.h"

namespace rebased {
namespace {

constexpr int32_t kNo = kIgnoreLabel;

// Four rows of 8: two questions, one, none, one. Keys 1, 2 and 3 come back after 4, 5 and 1 tokens; 4 is new.
TaskData small_task() {
  return {.examples = 4,
          .seq_len = 8,
          .vocab_size = 10,
          .inputs = {1, 6, 2, 7, 1, 0, 0, 2, 9, 0, 9, 0, 9, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 0, 4, 0, 0, 0, 0, 0},
          .labels = {kNo, kNo, kNo, kNo, 6,   kNo, kNo, 7,   kNo, kNo, kNo, kNo, kNo, kNo, 6,   kNo,
                     kNo, kNo, kNo, kNo, kNo, kNo, kNo, kNo, kNo, kNo, 6,   kNo, kNo, kNo, kNo, kNo}};
}

testing::Matcher<RecallSlice> slice_is(int64_t low, int64_t high, int64_t positions, int64_t correct) {
  using testing::Field;
  return testing::AllOf(Field(&RecallSlice::low, low), Field(&RecallSlice::high, high),
                        Field(&RecallSlice::count, testing::AllOf(Field(&RecallCount::positions, positions),
                                                                  Field(&RecallCount::correct, correct))));
}

class RecallTest : public testing::Test {
 protected:
  CpuEngine engine_;
  std::unique_ptr<SequenceModel> model_ = tiny_model(engine_, tiny_config(10));
};

TEST_F(RecallTest, CountsByHand) {
  answer_always(*model_, engine_, 6, 2);
  for (const int64_t batch : {1, 3, 64}) {
    const RecallScore score = evaluate_recall(*model_, engine_, small_task(), {.batch = batch});
    EXPECT_EQ(score.all.positions, 4);
    EXPECT_EQ(score.all.correct, 3);
    EXPECT_DOUBLE_EQ(score.all.accuracy(), 0.75);
    const double others = std::log(std::exp(2.0) + 9);  // logits: 2 for the answer, 0 for nine others
    EXPECT_NEAR(score.all.loss(), (3 * (others - 2) + others) / 4, 1e-5);  // float32 logits and logarithms
    EXPECT_THAT(score.by_pairs, testing::ElementsAre(slice_is(1, 1, 2, 2), slice_is(2, 2, 2, 1)));
    EXPECT_THAT(score.by_distance, testing::ElementsAre(slice_is(1, 1, 1, 1), slice_is(4, 7, 2, 1)));
  }
}

TEST_F(RecallTest, AgreesWithTheLogitsOfEachRow) {
  const TaskData data = generate(MqarOptions{.vocab_size = 10, .seq_len = 8, .pairs = 2, .random_fill = true}, 25, 3);
  int64_t correct = 0;
  double nll = 0;
  for (int64_t row = 0; row < data.examples; ++row) {
    const Value tokens = engine_.from_host(data.inputs.data() + row * 8, DType::kI32, Shape({1, 8}), DType::kI64);
    std::vector<double> logits(80);
    engine_.to_host(model_->logits(model_->hidden(tokens, Context{}, nullptr)), logits.data(), DType::kF64);
    for (int64_t t = 0; t < 8; ++t) {
      const int32_t label = data.labels[static_cast<size_t>(row * 8 + t)];
      if (label < 0) continue;
      const std::span at(logits.data() + t * 10, 10);
      double sum = 0;
      for (const double logit : at) sum += std::exp(logit);
      nll += std::log(sum) - at[static_cast<size_t>(label)];
      correct += std::max_element(at.begin(), at.end()) - at.begin() == label ? 1 : 0;
    }
  }
  const RecallScore score = evaluate_recall(*model_, engine_, data, {.batch = 4});
  EXPECT_EQ(score.all.positions, 50);
  EXPECT_EQ(score.all.correct, correct);
  EXPECT_NEAR(score.all.nll, nll, 50 * 1e-4);  // float32 through two layers, summed over 50 positions
}

TEST_F(RecallTest, StateBytesAreThoseOfTheRealState) {
  const RecallScore score = evaluate_recall(*model_, engine_, small_task());
  EXPECT_GT(score.state_bytes, 0);
  EXPECT_EQ(score.state_bytes, model_->state_bytes(1, 8));
}

TEST_F(RecallTest, ReportsProgress) {
  std::vector<std::pair<int64_t, int64_t>> seen;
  evaluate_recall(*model_, engine_, small_task(),
                  {.batch = 3, .progress = [&](int64_t done, int64_t total) { seen.emplace_back(done, total); }});
  EXPECT_THAT(seen, testing::ElementsAre(testing::Pair(3, 4), testing::Pair(4, 4)));
}

TEST_F(RecallTest, RefusesWhatTheModelCannotTake) {
  TaskData data = small_task();
  data.vocab_size = 11;
  EXPECT_THROW(evaluate_recall(*model_, engine_, data), ConfigError);
  EXPECT_THROW(evaluate_recall(*model_, engine_, small_task(), {.batch = 0}), ConfigError);
  data = small_task();
  std::fill(data.labels.begin(), data.labels.end(), kNo);
  EXPECT_THROW(evaluate_recall(*model_, engine_, data), ConfigError);
  ModelConfig config = tiny_config(10);
  config.max_tokens = 7;
  const auto shorter = tiny_model(engine_, config);
  EXPECT_THROW(evaluate_recall(*shorter, engine_, small_task()), ConfigError);
}

}  // namespace
}  // namespace rebased
