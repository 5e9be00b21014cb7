#include "eval/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/finite.h"
#include "runtime/tiny_model.h"

namespace rebased {
namespace {

class PerplexityTest : public testing::Test {
 protected:
  static ByteText text(const std::string& bytes) {
    auto owned = std::make_shared<std::string>(bytes);
    kept_.push_back(owned);
    return {"text", {{std::as_bytes(std::span(*owned)), nullptr}}};
  }
  static std::string letters(int n) {
    std::string result;
    for (int i = 0; i < n; ++i) result += static_cast<char>('a' + i * i % 23);
    return result;
  }

  inline static std::vector<std::shared_ptr<std::string>> kept_;
  CpuEngine engine_;
  std::unique_ptr<SequenceModel> model_ = tiny_model(engine_, tiny_config(256));
};

// float32 logits through two layers, up to 40 of them summed.
constexpr double kTolerance = 40 * 1e-4;

TEST_F(PerplexityTest, AnUncertainModelNeedsEightBitsAByte) {
  answer_always(*model_, engine_, 0, 0);
  const PerplexityScore score = evaluate_perplexity(*model_, engine_, text(letters(20)), {.window = 6});
  EXPECT_EQ(score.predicted, 19);
  EXPECT_NEAR(score.bits_per_id(), 8, 1e-5);
  EXPECT_NEAR(score.perplexity(), 256, 1e-2);
}

TEST_F(PerplexityTest, CountsByHand) {
  answer_always(*model_, engine_, 'b', 3);
  const PerplexityScore score = evaluate_perplexity(*model_, engine_, text("abba"), {.window = 2});
  const double all = std::log(std::exp(3.0) + 255);
  EXPECT_EQ(score.predicted, 3);
  EXPECT_NEAR(score.nll, 2 * (all - 3) + all, 1e-4);
}

TEST_F(PerplexityTest, WindowsStartAnewUnlessTheStateIsCarried) {
  const ByteText whole = text(letters(40));
  const PerplexityScore one = evaluate_perplexity(*model_, engine_, whole, {.window = 100});
  const PerplexityScore cut = evaluate_perplexity(*model_, engine_, whole, {.window = 7});
  const PerplexityScore carried = evaluate_perplexity(*model_, engine_, whole, {.window = 7, .carry_state = true});
  EXPECT_EQ(one.predicted, 39);
  EXPECT_EQ(cut.predicted, 39);
  EXPECT_EQ(carried.predicted, 39);
  EXPECT_NEAR(carried.nll, one.nll, kTolerance);
  EXPECT_GT(std::abs(cut.nll - one.nll), 10 * kTolerance);
  EXPECT_EQ(carried.state_bytes, model_->state_bytes(1, 39));
}

TEST_F(PerplexityTest, BatchesChangeNothing) {
  const ByteText whole = text(letters(40));
  const PerplexityScore single = evaluate_perplexity(*model_, engine_, whole, {.window = 5, .batch = 1});
  for (const int64_t batch : {2, 3, 100}) {
    const PerplexityScore score = evaluate_perplexity(*model_, engine_, whole, {.window = 5, .batch = batch});
    EXPECT_EQ(score.predicted, single.predicted);
    EXPECT_NEAR(score.nll, single.nll, kTolerance);
    EXPECT_EQ(score.state_bytes, single.state_bytes);
  }
}

TEST_F(PerplexityTest, ReportsProgress) {
  std::vector<std::pair<int64_t, int64_t>> seen;
  evaluate_perplexity(
      *model_, engine_, text(letters(10)),
      {.window = 4, .batch = 2, .progress = [&](int64_t done, int64_t total) { seen.emplace_back(done, total); }});
  EXPECT_THAT(seen, testing::ElementsAre(testing::Pair(8, 9), testing::Pair(9, 9)));
}

TEST_F(PerplexityTest, RefusesLossesThatAreNotFinite) {
  model_->parameters().at("ln_f.bias").value = engine_.full(Shape({16}), DType::kF32, 3e38);
  EXPECT_THAT([&] { evaluate_perplexity(*model_, engine_, text("abc")); },
              testing::ThrowsMessage<NotFiniteError>(testing::HasSubstr("text: a loss is ")));
}

// A state of 17 GB a row.
TEST_F(PerplexityTest, RefusesAPassBeyondTheMemory) {
  ModelConfig config = tiny_config(256);
  config.n_layers = 8;
  config.mixers = {Json{{"type", "rebased"}, {"num_heads", 1}, {"feature_dim", 128}, {"head_dim", 65536}}};
  const SequenceModel model(config);
  const ByteText whole = text(letters(6000));
  EXPECT_THAT(
      [&] { check_perplexity(model, whole, {.window = 4, .batch = 1000}); },
      testing::ThrowsMessage<ConfigError>(testing::HasSubstr("batch: a pass of 1000 rows of 4 tokens would take")));
  EXPECT_THAT([&] { check_perplexity(model, whole, {.window = 4, .batch = int64_t{1} << 31}); },
              testing::ThrowsMessage<ConfigError>(testing::HasSubstr("a pass of 1500 rows of 4 tokens would take")));
  EXPECT_NO_THROW(check_perplexity(*model_, whole, {.window = 4, .batch = int64_t{1} << 31}));  // as many as there are
}

TEST_F(PerplexityTest, RefusesWhatTheModelCannotTake) {
  EXPECT_THROW(evaluate_perplexity(*model_, engine_, text("a")), ConfigError);
  EXPECT_THROW(evaluate_perplexity(*model_, engine_, text("abc"), {.window = 0}), ConfigError);
  EXPECT_THROW(evaluate_perplexity(*model_, engine_, text("abc"), {.batch = 0}), ConfigError);
  const auto few_ids = tiny_model(engine_, tiny_config(255));
  EXPECT_THROW(evaluate_perplexity(*few_ids, engine_, text("abc")), ConfigError);
  ModelConfig config = tiny_config(256);
  config.max_tokens = 4;
  const auto shorter = tiny_model(engine_, config);
  EXPECT_THROW(evaluate_perplexity(*shorter, engine_, text(letters(10)), {.window = 5}), ConfigError);
  EXPECT_NO_THROW(evaluate_perplexity(*shorter, engine_, text(letters(10)), {.window = 4}));
  EXPECT_THROW(evaluate_perplexity(*shorter, engine_, text(letters(10)), {.window = 4, .carry_state = true}),
               ConfigError);
}

}  // namespace
}  // namespace rebased
