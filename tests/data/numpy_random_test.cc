#include "data/numpy_random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace rebased {
namespace {

using ::testing::ElementsAre;

// The generator's published check value: the 10000th output from seed 5489 (C++ standard, rand.predef).
TEST(NumpyRandom, IsTheMersenneTwister) {
  NumpyRandom random(5489);
  for (int i = 1; i < 10000; ++i) random.next_u32();
  EXPECT_EQ(random.next_u32(), 4123659995u);
}

// np.random.seed(42); np.random.random_sample(3).
TEST(NumpyRandom, DoublesHaveFiftyThreeBits) {
  NumpyRandom random(42);
  EXPECT_EQ(random.random_sample(), 0.3745401188473625);
  EXPECT_EQ(random.random_sample(), 0.9507143064099162);
  EXPECT_EQ(random.random_sample(), 0.7319939418114051);
}

// The seeds that zoology at seed 123 gives to five train and seven test segments.
TEST(NumpyRandom, RandintRepeatsZoologySegmentSeeds) {
  NumpyRandom random(123);
  std::vector<int64_t> train, test;
  for (int i = 0; i < 5; ++i) train.push_back(random.randint(0, int64_t{1} << 31));
  for (int i = 0; i < 7; ++i) test.push_back(random.randint(int64_t{1} << 31, int64_t{1} << 32));
  EXPECT_THAT(train, ElementsAre(843828734, 914636141, 1228959102, 1840268610, 974319580));
  EXPECT_THAT(test, ElementsAre(2967327842, 2367878886, 3088727057, 3090095699, 4256823402, 3964712059, 3350193721));
}

// np.random.seed(0); np.random.permutation(10).
TEST(NumpyRandom, PermutationShufflesFromTheEnd) {
  EXPECT_THAT(NumpyRandom(0).permutation(10), ElementsAre(2, 8, 4, 9, 1, 6, 7, 3, 0, 5));
  EXPECT_THAT(NumpyRandom(0).choice(10, 3), ElementsAre(2, 8, 4));
  EXPECT_THAT(NumpyRandom(0).permutation(1), ElementsAre(0));
}

TEST(NumpyRandom, IntervalStaysInsideAndReachesBothEnds) {
  NumpyRandom random(1);
  std::vector<int> counts(6);
  for (int i = 0; i < 600; ++i) ++counts.at(random.interval(5));
  for (int count : counts) EXPECT_GT(count, 50);  // expected 100 +- 9
  EXPECT_EQ(random.interval(0), 0u);
  for (int i = 0; i < 100; ++i) EXPECT_LE(random.interval(uint64_t{1} << 40), uint64_t{1} << 40);
}

TEST(NumpyRandom, WeightedChoiceNeverRepeatsAndNeverTakesWeightZero) {
  NumpyRandom random(7);
  const std::vector<double> p = {0.7, 0, 0.2, 0.1};
  for (int i = 0; i < 50; ++i) EXPECT_THAT(random.choice(p, 3), testing::UnorderedElementsAre(0, 2, 3));
}

TEST(NumpyRandom, SumAgreesWithPlainSummationToRounding) {
  for (size_t n : {0, 1, 7, 8, 100, 129, 1000}) {
    std::vector<double> x(n);
    for (size_t i = 0; i < n; ++i) x[i] = 1.0 / static_cast<double>(i + 1);
    const double plain = std::accumulate(x.begin(), x.end(), 0.0);
    EXPECT_NEAR(numpy_sum(x), plain, 1e-13);  // 1000 roundings of a sum below 8: at most 1000 * 8 * 2^-53
  }
}

}  // namespace
}  // namespace rebased
