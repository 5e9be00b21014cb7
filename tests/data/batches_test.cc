#include "data/batches.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace rebased {
namespace {

std::vector<int64_t> all_rows(const EpochOrder& order) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < order.batches(); ++i) rows.insert(rows.end(), order.rows(i).begin(), order.rows(i).end());
  return rows;
}

TEST(EpochOrder, EveryRowOnceInFullBatchesButTheLast) {
  EXPECT_TRUE(rc::check([] {
    const auto examples = *rc::gen::inRange<int64_t>(1, 200), batch = *rc::gen::inRange<int64_t>(1, 250);
    const EpochOrder order(examples, batch, 3, 1, *rc::gen::arbitrary<bool>());
    for (int64_t i = 0; i + 1 < order.batches(); ++i) RC_ASSERT(static_cast<int64_t>(order.rows(i).size()) == batch);
    RC_ASSERT(!order.rows(order.batches() - 1).empty());
    std::vector<int64_t> rows = all_rows(order), expected(static_cast<size_t>(examples));
    std::sort(rows.begin(), rows.end());
    std::iota(expected.begin(), expected.end(), 0);
    RC_ASSERT(rows == expected);
  }));
}

TEST(EpochOrder, DependsOnSeedAndEpochAlone) {
  const EpochOrder order(100, 8, 1, 0, true);
  EXPECT_EQ(all_rows(order), all_rows(EpochOrder(100, 8, 1, 0, true)));
  EXPECT_EQ(all_rows(order), all_rows(EpochOrder(100, 7, 1, 0, true)));
  EXPECT_NE(all_rows(order), all_rows(EpochOrder(100, 8, 2, 0, true)));
  EXPECT_NE(all_rows(order), all_rows(EpochOrder(100, 8, 1, 1, true)));
}

TEST(EpochOrder, WithoutShuffleRowsComeInOrder) {
  const EpochOrder order(5, 2, 1, 7, false);
  EXPECT_EQ(all_rows(order), (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(order.batches(), 3);
  EXPECT_EQ(order.rows(2).size(), 1u);
}

// Where row 0 of ten lands over 5000 epochs: 500 expected at each place, standard deviation 21.
TEST(EpochOrder, ShufflesUniformly) {
  std::vector<int> counts(10);
  for (int64_t epoch = 0; epoch < 5000; ++epoch) {
    const std::vector<int64_t> rows = all_rows(EpochOrder(10, 4, 1, epoch, true));
    ++counts[std::find(rows.begin(), rows.end(), 0) - rows.begin()];
  }
  for (int count : counts) EXPECT_NEAR(count, 500, 6 * 21);
}

TEST(EpochOrder, RefusesEmptyBatches) {
  EXPECT_THROW(EpochOrder(0, 1, 1, 0, true), ConfigError);
  EXPECT_THROW(EpochOrder(1, 0, 1, 0, true), ConfigError);
}

}  // namespace
}  // namespace rebased
