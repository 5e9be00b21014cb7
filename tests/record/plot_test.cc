#include "record/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

// The picture without its style sheet.
std::string drawn(const std::string& svg) { return svg.substr(svg.find("</style>")); }

LineChart sample() {
  LineChart chart;
  chart.title = "a < b & c";
  chart.x.label = "step";
  chart.y.label = "loss (nats)";
  chart.series = {{"one", {0, 1, 2}, {3, 2, 1}, {}, {}}, {"two", {0, 1, 2}, {1, 1, 1}, {0.5, 0.5, 0.5}, {2, 2, 2}}};
  return chart;
}

TEST(LineChart, DrawsLinesDotsBandsAndNames) {
  const std::string svg = drawn(line_chart_svg(sample()));
  EXPECT_EQ(count(svg, "class=\"l c0 d0\" d="), 2);  // the line, and the swatch of its name
  EXPECT_EQ(count(svg, "class=\"b f1\""), 1);
  EXPECT_EQ(count(svg, "<circle"), 6);
  for (const char* text : {">one<", ">two<", ">step<", ">loss (nats)<", ">a &lt; b &amp; c<"})
    EXPECT_THAT(svg, HasSubstr(text));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(LineChart, AdaptsToDarkPages) {
  const std::string svg = line_chart_svg(sample());
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, HasSubstr("viewBox=\"0 0 720 420\""));
}

TEST(LineChart, GapsWhereValuesAreMissing) {
  LineChart chart = sample();
  chart.series = {{"", {0, 1, 2, 3, 4, 5}, {1, 2, NAN, 3, INFINITY, 4}, {}, {}}};
  chart.series[0].x.resize(30, 6);
  chart.series[0].y.resize(30, NAN);  // more than a few points: only lone ones are dots
  std::string svg = drawn(line_chart_svg(chart));
  EXPECT_EQ(count(svg, "class=\"l c0"), 1);
  EXPECT_EQ(count(svg, "<circle"), 2);
  chart.y.scale = Scale::kLog;
  chart.series[0].y[0] = 0;  // not on a logarithmic axis
  svg = drawn(line_chart_svg(chart));
  EXPECT_EQ(count(svg, "class=\"l c0"), 0);
  EXPECT_EQ(count(svg, "<circle"), 3);
}

TEST(LineChart, SaysWhenThereIsNothingToShow) {
  LineChart chart;
  EXPECT_THAT(line_chart_svg(chart), HasSubstr("no data"));
  chart.series = {{"empty", {}, {}, {}, {}}, {"nan", {1}, {NAN}, {}, {}}};
  EXPECT_THAT(line_chart_svg(chart), HasSubstr("no data"));
  chart.series.push_back({"point", {1}, {1}, {}, {}});
  EXPECT_THAT(line_chart_svg(chart), Not(HasSubstr("no data")));
}

TEST(LineChart, NamesStandApartAndInside) {
  LineChart chart = sample();
  chart.series.clear();
  for (int i = 0; i < 12; ++i) chart.series.push_back({"s" + std::to_string(i), {0, 1}, {0, 0.001 * i}, {}, {}});
  chart.y.max = 1;
  const std::string svg = line_chart_svg(chart);
  const std::regex name("y=\"([0-9.]+)\" text-anchor=\"start\">s[0-9]+<");
  std::vector<double> ys;
  for (std::sregex_iterator it(svg.begin(), svg.end(), name), end; it != end; ++it) ys.push_back(std::stod((*it)[1]));
  ASSERT_EQ(ys.size(), 12u);
  std::sort(ys.begin(), ys.end());
  for (size_t i = 1; i < ys.size(); ++i) EXPECT_GE(ys[i] - ys[i - 1], 15.8);  // 16, printed to a tenth
  EXPECT_LE(ys.back(), 420);
}

TEST(LineChart, ChoosesWhereNamesGo) {
  LineChart chart = sample();
  const auto leaders = [&] { return count(drawn(line_chart_svg(chart)), "class=\"l k "); };
  EXPECT_EQ(leaders(), 2);
  chart.naming = Naming::kLegend;
  EXPECT_EQ(leaders(), 0);
  EXPECT_THAT(line_chart_svg(chart), HasSubstr(">one<"));
  chart.naming = Naming::kAuto;
  chart.series[0].name = "a name that would take half of the width of the picture";
  EXPECT_EQ(leaders(), 0);
  chart.naming = Naming::kDirect;
  EXPECT_EQ(leaders(), 2);
}

TEST(LineChart, NinthSeriesIsDashed) {
  LineChart chart = sample();
  chart.series.assign(9, chart.series[0]);
  EXPECT_THAT(drawn(line_chart_svg(chart)), HasSubstr("class=\"l c0 d1\""));
}

TEST(LineChart, ThinsLongLinesAndKeepsTheirPeaks) {
  LineChart chart = sample();
  Series long_line{"long", {}, {}, {}, {}};
  for (int i = 0; i < 200000; ++i) {
    long_line.x.push_back(i);
    long_line.y.push_back(i == 123456 ? 10 : i % 2);
  }
  chart.series = {long_line};
  chart.y.max = 10;
  const std::string svg = line_chart_svg(chart);
  EXPECT_LT(svg.size(), 60000u);
  const std::regex point("L[0-9.]+ ([0-9.]+)");
  std::vector<double> ys;
  for (std::sregex_iterator it(svg.begin(), svg.end(), point), end; it != end; ++it) ys.push_back(std::stod((*it)[1]));
  std::sort(ys.begin(), ys.end());
  EXPECT_LT(ys[0], ys[1] - 200);  // the peak, far above all others
}

TEST(LineChart, RefusesLengthsThatDifferAndTinyPictures) {
  LineChart chart = sample();
  chart.series[0].y.pop_back();
  EXPECT_THAT([&] { line_chart_svg(chart); }, ThrowsMessage<ConfigError>(HasSubstr("series \"one\"")));
  chart = sample();
  chart.series[1].high.pop_back();
  EXPECT_THROW(line_chart_svg(chart), ConfigError);
  chart = sample();
  chart.series[1].low.clear();
  EXPECT_THROW(line_chart_svg(chart), ConfigError);
  chart = sample();
  chart.width = 100;
  EXPECT_THROW(line_chart_svg(chart), ConfigError);
}

BarChart bars() {
  BarChart chart;
  chart.title = "speed";
  chart.groups = {"rebased", "based & co"};
  chart.series = {{"small", {2, -1}, {1.5, -2}, {2.5, 0}}, {"large", {NAN, 0}, {}, {}}};
  return chart;
}

TEST(BarChart, DrawsBarsErrorBarsAndValues) {
  const std::string svg = drawn(bar_chart_svg(bars()));
  EXPECT_EQ(count(svg, "<rect class=\"f0\""), 2);
  EXPECT_EQ(count(svg, "<rect class=\"f1\""), 1);
  EXPECT_EQ(count(svg, "class=\"e\""), 2);
  for (const char* text : {">2.000<", ">-1.000<", ">–<", ">0<", ">based &amp; co<", ">small<", ">large<"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
}

TEST(BarChart, LengthsAreProportionalFromZero) {
  BarChart chart = bars();
  chart.series = {{"", {100, 50}, {}, {}}};
  const std::string svg = bar_chart_svg(chart);
  const std::regex bar("<rect class=\"f0\" x=\"([0-9.]+)\" y=\"[0-9.]+\" width=\"([0-9.]+)\"");
  std::vector<double> starts, widths;
  for (std::sregex_iterator it(svg.begin(), svg.end(), bar), end; it != end; ++it) {
    starts.push_back(std::stod((*it)[1]));
    widths.push_back(std::stod((*it)[2]));
  }
  ASSERT_EQ(widths.size(), 2u);
  EXPECT_EQ(starts[0], starts[1]);
  EXPECT_NEAR(widths[0], 2 * widths[1], 0.2);  // printed to a tenth of a pixel
}

TEST(BarChart, EmptyOnesSaySo) {
  EXPECT_THAT(bar_chart_svg(BarChart{}), HasSubstr("no data"));
  BarChart zeros;
  zeros.groups = {"a"};
  zeros.series = {{"s", {0}, {}, {}}};
  EXPECT_THAT(bar_chart_svg(zeros), Not(HasSubstr("nan")));
}

TEST(BarChart, RefusesWhatDoesNotFit) {
  BarChart chart = bars();
  chart.series[0].values.pop_back();
  EXPECT_THAT([&] { bar_chart_svg(chart); }, ThrowsMessage<ConfigError>(HasSubstr("bars \"small\"")));
  chart = bars();
  chart.series[0].high.clear();
  EXPECT_THROW(bar_chart_svg(chart), ConfigError);
  chart = bars();
  chart.value.scale = Scale::kLog;
  EXPECT_THROW(bar_chart_svg(chart), ConfigError);
  chart = bars();
  chart.width = 100;
  EXPECT_THROW(bar_chart_svg(chart), ConfigError);
}

}  // namespace
}  // namespace rebased
