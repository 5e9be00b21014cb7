#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

namespace rebased {
namespace {

TEST(Schedule, CosineEpochIsConstantInsideAnEpoch) {
  const ScheduleRecipe schedule{.kind = "cosine_epoch"};
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 1e-3, 0, 640, 0, 64), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 1e-3, 325, 640, 32, 64), 1e-3 / 2);
  EXPECT_NEAR(learning_rate(schedule, 1e-3, 639, 640, 63, 64), 1e-3 * (1 + std::cos(std::numbers::pi * 63 / 64)) / 2,
              1e-15);
}

TEST(Schedule, WarmUpRisesAndShapesEndAtTheFinalRatio) {
  for (const char* kind : {"cosine", "linear"}) {
    const ScheduleRecipe schedule{.kind = kind, .warmup_steps = 10, .final_ratio = 0.1};
    EXPECT_DOUBLE_EQ(learning_rate(schedule, 2, 0, 110, 0, 1), 0.2);
    EXPECT_DOUBLE_EQ(learning_rate(schedule, 2, 10, 110, 0, 1), 2);
    EXPECT_NEAR(learning_rate(schedule, 2, 60, 110, 0, 1), 2 * (0.1 + 0.9 * 0.5), 1e-12) << kind;
    EXPECT_NEAR(learning_rate(schedule, 2, 110, 110, 0, 1), 0.2, 1e-12);
  }
  EXPECT_DOUBLE_EQ(learning_rate({.kind = "constant"}, 3, 99, 100, 0, 1), 3);
}

// A run may take more steps than its epochs make.
TEST(Schedule, EveryShapeStaysAtItsEnd) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const char* kind : {"cosine_epoch", "cosine", "linear"}) {
    for (const double final_ratio : {0.0, 0.25, 1.0}) {
      const ScheduleRecipe schedule{.kind = kind, .final_ratio = final_ratio};
      for (const int64_t beyond : {int64_t{0}, int64_t{1}, int64_t{37}, int64_t{64}, kMost - 640}) {
        EXPECT_NEAR(learning_rate(schedule, 2, 640 + beyond, 640, 64 + beyond, 64), 2 * final_ratio, 1e-15)
            << kind << " " << beyond;
      }
    }
  }
}

TEST(Schedule, EveryShapeFallsWithoutEverRising) {
  for (const char* kind : {"cosine_epoch", "cosine", "linear"}) {
    const ScheduleRecipe schedule{.kind = kind, .final_ratio = 0.1};
    double before = 1;
    for (int64_t step = 0; step < 30; ++step) {
      const double now = learning_rate(schedule, 1, step, 20, step / 5, 4);
      EXPECT_LE(now, before) << kind << " " << step;
      EXPECT_GE(now, 0.1) << kind << " " << step;
      before = now;
    }
  }
}

// A run that ends before its warm-up does is still on the rise.
TEST(Schedule, AWarmUpLongerThanTheRunRises) {
  for (const char* kind : {"cosine_epoch", "cosine", "linear", "constant"}) {
    const ScheduleRecipe schedule{.kind = kind, .warmup_steps = 1'000'000'000'000};
    double before = 0;
    for (int64_t step = 0; step < 10; ++step) {
      const double now = learning_rate(schedule, 1, step, 10, 0, 1);
      EXPECT_GT(now, before) << kind;
      EXPECT_LT(now, 1e-10) << kind;
      before = now;
    }
  }
}

}  // namespace
}  // namespace rebased
