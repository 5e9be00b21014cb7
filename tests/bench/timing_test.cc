#include "bench/timing.h"

#include <gtest/gtest.h>

#include "base/threads.h"
#include "bench/kernel_speed.h"
#include "bench/model_speed.h"

namespace rebased {
namespace {

TEST(TimeInTurn, RunsEveryPieceInEveryRoundInTurn) {
  std::string order;
  const std::vector<std::function<void()>> works = {[&] { order += 'a'; }, [&] { order += 'b'; }};
  const std::vector<Timing> timings = time_in_turn(works, {.rounds = 3, .round_seconds = 0});
  EXPECT_EQ(order, "aabbababab");  // a call to warm up and one to guess, each; then the rounds
  ASSERT_EQ(timings.size(), 2U);
  for (const Timing& timing : timings) {
    EXPECT_GT(timing.median, 0);
    EXPECT_LE(timing.low, timing.median);
    EXPECT_GE(timing.high, timing.median);
  }
}

TEST(TimeInTurn, RepeatsShortWorkToFillARound) {
  int calls = 0;
  const std::vector<std::function<void()>> works = {[&] { ++calls; }};
  time_in_turn(works, {.rounds = 1, .round_seconds = 1e-3});
  EXPECT_GT(calls, 10);
}

TEST(KernelSpeed, IsMeasuredForRowsOfAName) {
  std::vector<int64_t> done;
  const std::vector<KernelSpeed> speeds =
      measure_kernels("rebased B128 H12 T48", {.rounds = 1, .round_seconds = 0}, [&](int64_t n) { done.push_back(n); });
  ASSERT_EQ(speeds.size(), 1U);
  EXPECT_EQ(count_kernels("rebased B128 H12 T48"), 1);
  EXPECT_EQ(done, std::vector<int64_t>{1});
  EXPECT_TRUE(speeds[0].correct);
  EXPECT_GT(speeds[0].forward_share, 0);
  EXPECT_GT(speeds[0].both_share, 0);
  EXPECT_TRUE(measure_kernels("no such row", {}, {}).empty());
}

TEST(KernelSpeed, TellsHowThreadsScaleWhenAsked) {
  const char* row = "rebased B128 H12 T48";
  const TimingOptions once{.rounds = 1, .round_seconds = 0};
  EXPECT_FALSE(measure_kernels(row, once, {})[0].forward_scaling.has_value());
  const KernelSpeed speed =
      measure_kernels(row, {.rounds = once.rounds, .round_seconds = once.round_seconds, .scaling = true}, {})[0];
  ASSERT_TRUE(speed.forward_scaling && speed.both_scaling);
  EXPECT_GT(speed.forward_scaling->work, 0);
  EXPECT_GT(speed.both_scaling->work, 0);
  EXPECT_GT(speed.both_scaling->gemm, 0);
}

TEST(Scaling, TakesTheLargerNeed) {
  set_thread_count(2);
  EXPECT_EQ(most_over_threads([] { return int64_t{10} * thread_count(); }), 20);
  EXPECT_EQ(most_over_threads([] { return int64_t{10} / thread_count(); }), 10);
  EXPECT_EQ(thread_count(), 2);
}

TEST(Scaling, RunsTheSameWorkOnOneThreadInTurn) {
  std::string order;
  auto note = [&](char name) { return [&order, name] { order += thread_count() == 1 ? name : char(name - 32); }; };
  set_thread_count(2);
  const TimesBesideProducts times =
      time_beside_products(note('w'), note('g'), {.rounds = 2, .round_seconds = 0, .scaling = true});
  EXPECT_EQ(order, "WWGGwwggWGwgWGwg");
  EXPECT_EQ(thread_count(), 2);
  EXPECT_TRUE(times.scaling.has_value());
  EXPECT_FALSE(time_beside_products(note('w'), note('g'), {.rounds = 1, .round_seconds = 0}).scaling.has_value());
}

Json small_config() {
  Json config = paper_model_config();
  config.update({{"vocab_size", 64}, {"d_model", 24}, {"n_layers", 2}});
  config["state_mixers"] = Json::array({Json{{"type", "swiglu"}, {"hidden", 40}}});
  return config;
}

TEST(ModelSpeed, CountsTheBytesThatATokenReads) {
  const auto model = random_model(small_config(), "small");
  int64_t elements = 0;
  for (const Param& param : model->model().parameters().params()) elements += param.spec.shape.numel();
  const DecodeSpeed speed = measure_decode(*model, 3, 1000, {.rounds = 1, .round_seconds = 0});
  EXPECT_EQ(speed.bytes, static_cast<double>(4 * elements + model->model().state_bytes(3, 1001)));
  EXPECT_DOUBLE_EQ(speed.tokens_per_second(), 3 / speed.step.median);
}

TEST(ModelSpeed, CountsTheProductsOfAPrompt) {
  const auto model = random_model(small_config(), "small");
  const PrefillSpeed speed = measure_prefill(*model, 10, {.rounds = 1, .round_seconds = 0});
  // base_conv: 24 -> 2 * 48, a kernel of 3 on 48, 48 -> 24; rebased: 12 heads of 16 keys and 2 values, affine q and k;
  // two SwiGLUs.
  EXPECT_GT(speed.operations, 10 * 2 * (24 * 96 + 48 * 24 + 2 * 24 * 192 + 2 * 24 * 24 + 2 * 3 * 24 * 40));
  EXPECT_GT(speed.share(), 0);
}

TEST(ModelSpeed, TellsWhatLaterTokensCost) {
  const auto model = random_model(small_config(), "small");
  EXPECT_GT(measure_prefill_growth(*model, 10, 600, {.rounds = 1, .round_seconds = 0}), 0);
}

TEST(ModelSpeed, OfAnUnfitConfigIsRefused) {
  Json config = small_config();
  config["n_layer"] = 3;
  EXPECT_THROW(random_model(config, "small"), std::exception);
}

}  // namespace
}  // namespace rebased
