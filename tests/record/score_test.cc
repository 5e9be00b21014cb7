#include "record/score.h"

#include <gtest/gtest.h>

namespace rebased {
namespace {

TEST(Score, SaysWhatIsBetter) {
  const Score accuracy{"test_accuracy", "", true, 0.5}, loss{"loss", "nats", false, 0.5};
  EXPECT_TRUE(accuracy.is_better_than({"test_accuracy", "", true, 0.4}));
  EXPECT_FALSE(accuracy.is_better_than(accuracy));
  EXPECT_TRUE(loss.is_better_than({"loss", "nats", false, 0.6}));
  EXPECT_FALSE(loss.is_better_than({"loss", "nats", false, 0.4}));
}

TEST(Score, GoesThroughMetadataExactly) {
  const Evaluation written{40, {"test_accuracy", "", true, 1.0 / 3}};
  EXPECT_EQ(describe(written), "step 40, test accuracy 0.3333");
  auto metadata = evaluation_metadata(written);
  metadata["format"] = "pt";
  const auto read = evaluation_in(metadata);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->step, 40);
  EXPECT_EQ(read->score.name, "test_accuracy");
  EXPECT_EQ(read->score.value, 1.0 / 3);
}

TEST(Score, OtherMetadataHoldNone) {
  EXPECT_FALSE(evaluation_in({{"format", "pt"}}).has_value());
  EXPECT_FALSE(evaluation_in({{"step", "4x"}, {"score", "loss"}, {"value", "1"}}).has_value());
  EXPECT_FALSE(evaluation_in({{"step", "4"}, {"score", "loss"}, {"value", "one"}}).has_value());
}

}  // namespace
}  // namespace rebased
