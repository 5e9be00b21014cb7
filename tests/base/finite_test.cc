#include "base/finite.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace rebased {
namespace {

using Float = std::numeric_limits<float>;

TEST(Finite, TheLargestAndTheLeastNumbersAre) {
  EXPECT_TRUE(all_finite({}));
  EXPECT_TRUE(all_finite(std::vector<float>{0, -0.0f, Float::max(), Float::lowest(), Float::denorm_min()}));
  EXPECT_TRUE(all_finite_bf16(std::vector<uint16_t>{0, 0x8000, 0x7f7f, 0xff7f, 1}));
}

TEST(Finite, OneThatIsNotIsFoundWhereverItIs) {
  for (const size_t n : {1, 7, 4096, 4097, 10000}) {
    for (const size_t at : {size_t{0}, n / 2, n - 1}) {
      for (const float strange : {Float::infinity(), -Float::infinity(), Float::quiet_NaN(), -Float::quiet_NaN()}) {
        std::vector<float> numbers(n, -1.0f);
        numbers[at] = strange;
        EXPECT_FALSE(all_finite(numbers)) << n << " " << at << " " << strange;
      }
      for (const uint16_t strange : {0x7f80, 0xff80, 0x7fc0, 0xffff}) {
        std::vector<uint16_t> numbers(n, 0xbf80);
        numbers[at] = strange;
        EXPECT_FALSE(all_finite_bf16(numbers)) << n << " " << at << " " << strange;
      }
    }
  }
}

}  // namespace
}  // namespace rebased
