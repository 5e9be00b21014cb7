#include "record/axis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<std::string> labels(const FittedAxis& axis) {
  std::vector<std::string> result;
  for (const Tick& tick : axis.ticks) result.push_back(tick.label);
  return result;
}

FittedAxis linear(const std::vector<double>& values, int most_ticks = 5, bool round_ends = true) {
  return fit_axis({}, values, most_ticks, round_ends);
}

FittedAxis logarithmic(const std::vector<double>& values, int most_ticks = 5, bool round_ends = false) {
  return fit_axis({"", Scale::kLog, {}, {}, {}}, values, most_ticks, round_ends);
}

TEST(Axis, RoundsToNiceTicks) {
  const FittedAxis axis = linear({0.03, 0.97});
  EXPECT_EQ(axis.low, 0);
  EXPECT_DOUBLE_EQ(axis.high, 1);
  EXPECT_THAT(labels(axis), ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1.0"));
}

TEST(Axis, KeepsTheEndsWhenAsked) {
  const FittedAxis axis = linear({3, 97}, 5, false);
  EXPECT_EQ(axis.low, 3);
  EXPECT_EQ(axis.high, 97);
  EXPECT_THAT(labels(axis), ElementsAre("20", "40", "60", "80"));
}

TEST(Axis, LabelsShareOneForm) {
  EXPECT_THAT(labels(linear({0, 40000}, 4)), ElementsAre("0", "10k", "20k", "30k", "40k"));
  EXPECT_THAT(labels(linear({0, 2e7}, 4)), ElementsAre("0", "5M", "10M", "15M", "20M"));
  EXPECT_THAT(labels(linear({0, 2e10}, 2)), ElementsAre("0", "10G", "20G"));
  EXPECT_THAT(labels(linear({-1, 1}, 2)), ElementsAre("-1", "0", "1"));
  EXPECT_THAT(labels(linear({0, 2e-5}, 2)), ElementsAre("0", "1e-05", "2e-05"));
}

TEST(Axis, ConstantEmptyAndNonFiniteDataGetRoom) {
  for (const std::vector<double>& values :
       {std::vector<double>{}, {5}, {5, 5, 5}, {0}, {-3}, {NAN, INFINITY}, {1e300}, {1e-300}, {-INFINITY, 2}}) {
    for (bool log : {false, true}) {
      const FittedAxis axis = log ? logarithmic(values) : linear(values);
      EXPECT_LT(axis.low, axis.high);
      EXPECT_TRUE(std::isfinite(axis.low) && std::isfinite(axis.high));
      EXPECT_GE(axis.ticks.size(), 1u);
      EXPECT_LE(axis.ticks.size(), 12u);
      for (double value : values) {
        if (!std::isfinite(value) || (log && value <= 0)) continue;
        EXPECT_GT(axis.position(value), 0);
        EXPECT_LT(axis.position(value), 1);
      }
    }
  }
}

TEST(Axis, LogarithmicTicks) {
  EXPECT_THAT(labels(logarithmic({0.01, 100})), ElementsAre("0.01", "0.1", "1", "10", "100"));
  EXPECT_THAT(labels(logarithmic({1, 100}, 9)), ElementsAre("1", "2", "5", "10", "20", "50", "100"));
  EXPECT_THAT(labels(logarithmic({1e-6, 1e-2})), ElementsAre("10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"));
  EXPECT_THAT(labels(logarithmic({1e-12, 1e12}, 5)), ElementsAre("10⁻¹⁰", "10⁻⁵", "10⁰", "10⁵", "10¹⁰"));
  EXPECT_THAT(labels(logarithmic({1e-6, 1e-5}, 9)), ElementsAre("10⁻⁶", "2·10⁻⁶", "5·10⁻⁶", "10⁻⁵"));
  EXPECT_THAT(labels(logarithmic({3, 4.5}, 4, false)), ElementsAre("3.0", "3.5", "4.0", "4.5"));  // within a decade
}

TEST(Axis, Positions) {
  EXPECT_DOUBLE_EQ(linear({0, 10}).position(2.5), 0.25);
  EXPECT_DOUBLE_EQ(logarithmic({1, 10000}).position(10), 0.25);
  EXPECT_TRUE(std::isnan(logarithmic({1, 10}).position(0)));
  EXPECT_TRUE(std::isnan(logarithmic({1, 10}).position(-2)));
  EXPECT_TRUE(std::isnan(linear({1, 10}).position(NAN)));
}

TEST(Axis, TakesLimitsAndTicksOfTheAuthor) {
  const FittedAxis axis = fit_axis({"d", Scale::kLog, 32, 1024, {16, 64, 256}}, {100}, 5, true);
  EXPECT_EQ(axis.low, 32);
  EXPECT_EQ(axis.high, 1024);
  EXPECT_THAT(labels(axis), ElementsAre("64", "256"));                                         // 16 lies outside
  const FittedAxis one_sided = fit_axis({"", Scale::kLinear, 10.0, {}, {}}, {1, 2}, 5, true);  // all data below min
  EXPECT_EQ(one_sided.low, 10);
  EXPECT_GT(one_sided.high, 10);
  const FittedAxis below = fit_axis({"", Scale::kLog, {}, 0.5, {}}, {1, 2}, 5, true);
  EXPECT_LT(below.low, 0.5);
  EXPECT_THAT(below.high, DoubleEq(0.5));
}

TEST(Axis, RefusesContradictions) {
  const auto refuses = [](Axis axis, const char* what) {
    EXPECT_THAT([&] { fit_axis(axis, {1}, 5, true); }, ThrowsMessage<ConfigError>(HasSubstr(what)));
  };
  refuses({"loss", Scale::kLinear, 2.0, 1.0, {}}, "axis \"loss\": min 2 is not below max 1");
  refuses({"loss", Scale::kLog, 0.0, {}, {}}, "must be positive");
  refuses({"loss", Scale::kLog, {}, -1.0, {}}, "must be positive");
  refuses({"loss", Scale::kLinear, NAN, {}, {}}, "not finite");
}

}  // namespace
}  // namespace rebased
