#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/shape.h"

namespace rebased {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Shape, CountsElementsAndPrints) {
  EXPECT_EQ(Shape({2, 3, 4}).numel(), 24);
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ(Shape({2, 3}).str(), "[2, 3]");
  EXPECT_EQ(Shape({2, 3})[-1], 3);
  EXPECT_EQ(Shape({2, 3}).with(-1, 5), Shape({2, 5}));
}

TEST(Dims, BindsSymbolsAndNamesWhatDoesNotFit) {
  Dims dims("op");
  dims.check("q", Shape({2, 17, 4}), "B T D").check("w", Shape({4, 3}), "D 3");
  EXPECT_EQ(dims["T"], 17);
  EXPECT_THAT(
      [&] {
        dims.check("v", Shape({2, 16, 4}), "B T D");
      },
      ThrowsMessage<ShapeError>(HasSubstr("[op] v: expected [B T D] = [2, 17, 4], found [2, 16, 4]")));
  EXPECT_THROW(dims.check("v", Shape({2, 17}), "B T D"), ShapeError);
  EXPECT_THROW(dims.check("v", Shape({2, 17, 4, 1}), "B T D"), ShapeError);
  EXPECT_THROW(dims.check("w", Shape({4, 2}), "D 3"), ShapeError);
}

TEST(DType, HalfPrecisionRoundTripsEveryPattern) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if (std::isnan(f16_to_f32(half))) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(f16_to_f32(half)))));
    } else {
      EXPECT_EQ(f32_to_f16(f16_to_f32(half)), half);
    }
    if (std::isnan(bf16_to_f32(half))) {
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(bf16_to_f32(half)))));
    } else {
      EXPECT_EQ(f32_to_bf16(bf16_to_f32(half)), half);
    }
  }
}

TEST(DType, RoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), f32_to_bf16(1.0f));                // tie to even
  EXPECT_EQ(f32_to_bf16(1.0f + 3 * 0x1p-8f), f32_to_bf16(1.0f + 0x1p-6f));  // tie to even, upwards
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0);
  EXPECT_EQ(f32_to_f16(0x1.8p-25f), 1);
  EXPECT_EQ(f32_to_f16(-0x1p-24f), 0x8001);
}

TEST(Rng, IsAFunctionOfKeyAndCounter) {
  Rng a(derive_key(42, "x")), b(derive_key(42, "x"));
  a.next();
  a.next();
  b = Rng(derive_key(42, "x"), a.counter());
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(derive_key(42, "x"), derive_key(43, "x"));
  EXPECT_NE(derive_key(42, "x", 0), derive_key(42, "x", 1));
}

TEST(Rng, MomentsAreThoseOfTheDistributions) {
  Rng rng(7);
  double sum = 0, squares = 0, uniform = 0;
  constexpr int kDraws = 200000;
  std::vector<int> counts(10);
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
    uniform += rng.uniform();
    ++counts[rng.below(10)];
  }
  EXPECT_NEAR(sum / kDraws, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 5 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(uniform / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  for (int count : counts) EXPECT_NEAR(count, kDraws / 10, 5 * std::sqrt(kDraws * 0.09));
}

}  // namespace
}  // namespace rebased
