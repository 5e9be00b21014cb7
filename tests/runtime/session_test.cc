#include "runtime/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/tiny_model.h"

namespace rebased {
namespace {

std::unique_ptr<LoadedModel> in_memory(const ModelConfig& config) {
  auto engine = std::make_unique<CpuEngine>();
  auto model = tiny_model(*engine, config);
  return std::make_unique<LoadedModel>("tiny", std::move(engine), std::move(model), nullptr);
}

ModelConfig limited_config(int64_t max_tokens) {
  ModelConfig config = tiny_config();
  config.max_tokens = max_tokens;
  return config;
}

std::vector<int32_t> some_tokens(int n) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 37 + 11) % 257);
  return tokens;
}

// Logits behind the last token by one pass over the whole sequence, without any state.
std::vector<float> whole_sequence(LoadedModel& model, const std::vector<int32_t>& tokens) {
  const auto T = static_cast<int64_t>(tokens.size());
  const Value ids = model.engine().from_host(tokens.data(), DType::kI32, Shape({1, T}), DType::kI64);
  const Value last = slice(model.model().hidden(ids, Context{}, nullptr), 1, T - 1, 1);
  std::vector<float> logits(257);
  model.engine().to_host(model.model().logits(last), logits.data(), DType::kF32);
  return logits;
}

// Logits here are sums of 16 products of size 1 behind two layers; the order of float32 sums differs between forms.
constexpr float kTolerance = 2e-4f;

void expect_equal_logits(std::span<const float> found, std::span<const float> expected) {
  EXPECT_THAT(found, testing::Pointwise(testing::FloatNear(kTolerance), expected));
}

TEST(Session, EveryChunkingGivesTheLogitsOfTheWholeSequence) {
  const auto model = in_memory(tiny_config());
  const auto tokens = some_tokens(23);
  const auto expected = whole_sequence(*model, tokens);
  for (const int64_t chunk : {1, 2, 5, 23, 512}) {
    Session session(*model, chunk);
    expect_equal_logits(session.feed(tokens), expected);
    EXPECT_EQ(session.tokens(), 23);
    EXPECT_EQ(session.state_bytes(), model->model().state_bytes(1, 23));
  }
}

TEST(Session, StepsContinueWhatWasFed) {
  const auto model = in_memory(tiny_config());
  const auto tokens = some_tokens(12);
  Session session(*model);
  EXPECT_TRUE(session.logits().empty());
  session.feed(std::span(tokens).first(9));
  for (size_t i = 9; i < 12; ++i) session.step(tokens[i]);
  expect_equal_logits(session.logits(), whole_sequence(*model, tokens));
}

TEST(Session, ACloneGoesItsOwnWay) {
  const auto model = in_memory(tiny_config());
  Session session(*model);
  session.feed(some_tokens(8));
  const std::vector<float> before(session.logits().begin(), session.logits().end());
  Session other = session.clone();
  EXPECT_THAT(other.logits(), testing::ElementsAreArray(before));
  other.step(5);
  EXPECT_THAT(session.logits(), testing::ElementsAreArray(before));
  EXPECT_EQ(session.tokens(), 8);
  EXPECT_EQ(other.tokens(), 9);
  const auto once = session.step(5);
  EXPECT_THAT(once, testing::ElementsAreArray(other.logits()));
}

TEST(Session, ResetForgets) {
  const auto model = in_memory(tiny_config());
  Session session(*model);
  const auto first = session.feed(some_tokens(8));
  const std::vector<float> fresh(first.begin(), first.end());
  session.step(3);
  session.reset();
  EXPECT_TRUE(session.logits().empty());
  EXPECT_EQ(session.tokens(), 0);
  EXPECT_THAT(session.feed(some_tokens(8)), testing::ElementsAreArray(fresh));
}

TEST(Session, ARefusalChangesNothing) {
  const auto model = in_memory(limited_config(10));
  Session session(*model, 4), undisturbed(*model, 4);
  const auto tokens = some_tokens(6);
  session.feed(tokens);
  undisturbed.feed(tokens);
  EXPECT_THROW(session.feed({}), ShapeError);
  EXPECT_THROW(session.feed(std::vector<int32_t>{1, 257}), ShapeError);
  EXPECT_THROW(session.step(-1), ShapeError);
  EXPECT_THROW(session.feed(some_tokens(5)), ShapeError);
  EXPECT_EQ(session.tokens(), 6);
  EXPECT_THAT(session.feed(some_tokens(4)), testing::ElementsAreArray(undisturbed.feed(some_tokens(4))));
  EXPECT_THROW(session.step(0), ShapeError);
}

TEST(Session, TheShortestLimitOfTableAndMixersCounts) {
  ModelConfig config = tiny_config();
  config.mixers[0] = Json{{"type", "base_conv"}, {"filter", "long"}, {"max_tokens", 5}};
  const auto model = in_memory(config);
  EXPECT_NO_THROW(Session(*model).check_room(5));
  EXPECT_THROW(Session(*model).check_room(6), ShapeError);
  config.max_tokens = 4;
  const auto shorter = in_memory(config);
  EXPECT_THROW(Session(*shorter).check_room(5), ShapeError);
  const auto unlimited = in_memory(tiny_config());
  EXPECT_NO_THROW(Session(*unlimited).check_room(1 << 30));
}

TEST(Session, RefusesAnEmptyChunk) {
  const auto model = in_memory(tiny_config());
  EXPECT_THROW(Session(*model, 0), ConfigError);
}

}  // namespace
}  // namespace rebased
