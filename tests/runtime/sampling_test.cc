#include "runtime/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"

namespace rebased {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::map<int32_t, int> draws(const SamplingOptions& options, const std::vector<float>& logits, int n) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sampler.sample(logits)];
  return counts;
}

// The draws are independent: a count is binomial. Five standard deviations fail once in 1.7 million.
void expect_frequency(int count, int n, double p) {
  EXPECT_NEAR(count, n * p, 5 * std::sqrt(n * p * (1 - p))) << "p " << p;
}

std::string message_of(const std::vector<float>& logits, double temperature) {
  try {
    Sampler({.temperature = temperature}).sample(logits);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Greedy, TakesTheLargestAndOfEqualOnesTheFirst) {
  EXPECT_EQ(greedy_token(std::vector<float>{-1, 3, 2, 3}), 1);
  EXPECT_EQ(greedy_token(std::vector<float>{-kInf, -5}), 1);
  EXPECT_EQ(Sampler({.temperature = 0}).sample(std::vector<float>{0, 0, 0}), 0);
}

TEST(Sampler, RefusesLogitsThatMeanNothing) {
  for (const double temperature : {0.0, 1.0}) {
    EXPECT_THAT(message_of({1, 2, kNan, 3}, temperature), testing::HasSubstr("the logit of token 2 is nan"));
    EXPECT_THAT(message_of({kNan}, temperature), testing::HasSubstr("the logit of token 0 is nan"));
    EXPECT_THAT(message_of({1, kInf}, temperature), testing::HasSubstr("the logit of token 1 is inf"));
    EXPECT_THAT(message_of({-kInf, -kInf}, temperature), testing::HasSubstr("each of the 2 logits is -inf"));
    EXPECT_THAT(message_of({}, temperature), testing::HasSubstr("each of the 0 logits"));
  }
}

TEST(Sampler, FollowsTheModelByDefault) {
  constexpr int kDraws = 20000;
  const auto counts = draws({}, logits_of({0.1, 0.6, 0.3}), kDraws);
  expect_frequency(counts.at(0), kDraws, 0.1);
  expect_frequency(counts.at(1), kDraws, 0.6);
  expect_frequency(counts.at(2), kDraws, 0.3);
}

TEST(Sampler, TemperatureIsAnExponent) {
  constexpr int kDraws = 20000;
  const auto sharp = draws({.temperature = 0.5}, logits_of({0.1, 0.6, 0.3}), kDraws);  // squares: 0.01, 0.36, 0.09
  expect_frequency(sharp.at(1), kDraws, 0.36 / 0.46);
  const auto flat = draws({.temperature = 1e6}, logits_of({0.1, 0.6, 0.3}), kDraws);
  expect_frequency(flat.at(0), kDraws, 1.0 / 3);
  EXPECT_EQ(draws({.temperature = 1e-30}, {1, 1.5, 1.25}, 100).at(1), 100);
}

TEST(Sampler, TopKKeepsTheLikeliestAndOfEqualOnesTheFirst) {
  constexpr int kDraws = 20000;
  const auto counts = draws({.top_k = 2}, logits_of({0.2, 0.5, 0.3}), kDraws);
  EXPECT_EQ(counts.size(), 2u);
  expect_frequency(counts.at(1), kDraws, 0.5 / 0.8);
  const auto tied = draws({.top_k = 2}, {0, 1, 0, 0}, 500);
  EXPECT_THAT(tied, testing::ElementsAre(testing::Pair(0, testing::Gt(0)), testing::Pair(1, testing::Gt(0))));
  EXPECT_EQ(draws({.top_k = 9}, {0, 0, 0}, 500).size(), 3u);
  EXPECT_EQ(draws({.top_k = 1}, {0, 2, 2}, 50).at(1), 50);
}

TEST(Sampler, TopPKeepsTheFewestThatHoldIt) {
  constexpr int kDraws = 20000;
  const auto counts = draws({.top_p = 0.6}, logits_of({0.2, 0.5, 0.3}), kDraws);
  EXPECT_EQ(counts.size(), 2u);
  expect_frequency(counts.at(1), kDraws, 0.5 / 0.8);
  EXPECT_EQ(draws({.top_p = 0.45}, logits_of({0.2, 0.5, 0.3}), 200).at(1), 200);
  EXPECT_EQ(draws({.top_p = 0.81}, logits_of({0.2, 0.5, 0.3}), 2000).size(), 3u);
  EXPECT_EQ(draws({.top_p = 1e-9}, logits_of({0.2, 0.5, 0.3}), 100).at(1), 100);
}

// 0.4 of what top_k leaves (0.75) is more than half of it; of everything it would be less.
TEST(Sampler, TopPCountsWhatTopKLeaves) {
  EXPECT_EQ(draws({.top_k = 2, .top_p = 0.5}, logits_of({0.25, 0.4, 0.35}), 200).at(1), 200);
  EXPECT_EQ(draws({.top_p = 0.5}, logits_of({0.25, 0.4, 0.35}), 2000).size(), 2u);
}

TEST(Sampler, NeverDrawsWhatCannotCome) {
  EXPECT_EQ(draws({.temperature = 1e6}, {-kInf, 0, -kInf}, 200).at(1), 200);
  EXPECT_EQ(draws({.top_k = 3}, {-kInf, 0, -kInf}, 200).at(1), 200);
}

TEST(Sampler, RepeatsWithItsSeed) {
  const std::vector<float> logits(50, 0.0f);
  auto text = [&](uint64_t seed) {
    Sampler sampler({.seed = seed});
    std::vector<int32_t> tokens;
    for (int i = 0; i < 8; ++i) tokens.push_back(sampler.sample(logits));
    return tokens;
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
  EXPECT_EQ(text(1), (std::vector<int32_t>{25, 35, 14, 13, 35, 48, 5, 16}));  // on every machine
}

TEST(Sampler, RefusesOptionsOutsideOfTheirRange) {
  EXPECT_THROW(Sampler({.temperature = -0.5}), ConfigError);
  EXPECT_THROW(Sampler({.temperature = std::nan("")}), ConfigError);
  EXPECT_THROW(Sampler({.top_k = -1}), ConfigError);
  EXPECT_THROW(Sampler({.top_p = 0}), ConfigError);
  EXPECT_THROW(Sampler({.top_p = 1.5}), ConfigError);
}

}  // namespace
}  // namespace rebased
