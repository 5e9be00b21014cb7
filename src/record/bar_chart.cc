#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "record/plot.h"
#include "record/svg.h"
#include "record/text.h"

namespace rebased {
namespace {

using Anchor = SvgWriter::Anchor;

constexpr double kBar = 15, kBarGap = 3, kGroupGap = 13, kTickRoom = 30, kValueRoom = 58;

void check_chart(const BarChart& chart) {
  if (chart.width < 160) throw ConfigError("a chart is at least 160 pixels wide, found {}", chart.width);
  if (chart.value.scale != Scale::kLinear) throw ConfigError("bars start at zero, which a logarithmic axis lacks");
  for (const BarSeries& series : chart.series) {
    const size_t n = chart.groups.size();
    const bool errors = series.low.size() == n && series.high.size() == n;
    const bool no_errors = series.low.empty() && series.high.empty();
    if (series.values.size() != n || !(errors || no_errors)) {
      throw ConfigError("bars \"{}\": {} values, {} low and {} high ends of error bars for {} groups", series.name,
                        series.values.size(), series.low.size(), series.high.size(), n);
    }
  }
}

struct Frame {
  double left, top, width, height;
  FittedAxis axis;

  double x(double value) const { return left + std::clamp(axis.position(value), 0.0, 1.0) * width; }
};

double group_height(const BarChart& chart) {
  return static_cast<double>(std::max<size_t>(chart.series.size(), 1)) * (kBar + kBarGap) - kBarGap + kGroupGap;
}

// Zero is always on the axis, unless explicit limits exclude it.
FittedAxis fit_values(const BarChart& chart, double width) {
  std::vector<double> values = {0};
  for (const BarSeries& series : chart.series) {
    for (const auto* part : {&series.values, &series.low, &series.high})
      values.insert(values.end(), part->begin(), part->end());
  }
  Axis axis = chart.value;
  const bool nothing = std::none_of(values.begin(), values.end(), [](double v) { return std::isfinite(v) && v != 0; });
  if (nothing && !axis.min && !axis.max) axis.max = 1;
  return fit_axis(axis, values, std::max(2, static_cast<int>(width / 75)), true);
}

// Names longer than a third of the picture are cut.
int64_t name_columns(const BarChart& chart) {
  return static_cast<int64_t>(chart.width / 3.0 / (SvgWriter::kFont * 0.56));
}

void draw_bar(SvgWriter& svg, const Frame& frame, const BarSeries& series, size_t i, size_t group, double y) {
  const double value = series.values[group];
  const double zero = frame.x(0);
  if (!std::isfinite(value)) {
    svg.text(zero + 6, y + kBar - 3, "–", Anchor::kStart, "m");
    return;
  }
  const double end = frame.x(value);
  svg.add("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.0f}\" rx=\"1.5\"/>\n",
          series_fill(i), std::min(zero, end), y, std::fabs(end - zero), kBar);
  double right = std::max(zero, end);
  if (!series.low.empty() && std::isfinite(series.low[group]) && std::isfinite(series.high[group])) {
    const double low = frame.x(series.low[group]), high = frame.x(series.high[group]), middle = y + kBar / 2;
    svg.add("<path class=\"e\" d=\"M{0:.1f} {2:.1f}v8M{0:.1f} {3:.1f}H{1:.1f}M{1:.1f} {2:.1f}v8\"/>\n", low, high,
            middle - 4, middle);
    right = std::max(right, high);
  }
  svg.text(right + 7, y + kBar - 3, format_value(value), Anchor::kStart, "m");
}

void draw_groups(SvgWriter& svg, const Frame& frame, const BarChart& chart) {
  for (size_t group = 0; group < chart.groups.size(); ++group) {
    const double top = frame.top + static_cast<double>(group) * group_height(chart) + kGroupGap / 2;
    const double middle = top + (group_height(chart) - kGroupGap) / 2;
    svg.text(frame.left - 9, middle + 4.3, fit_text(chart.groups[group], name_columns(chart)), Anchor::kEnd);
    for (size_t i = 0; i < chart.series.size(); ++i) {
      draw_bar(svg, frame, chart.series[i], i, group, top + static_cast<double>(i) * (kBar + kBarGap));
    }
  }
}

void draw_axis(SvgWriter& svg, const Frame& frame, const BarChart& chart) {
  const double bottom = frame.top + frame.height;
  for (const Tick& tick : frame.axis.ticks) {
    svg.add("<path class=\"g\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", frame.x(tick.value), frame.top, bottom);
    svg.text(frame.x(tick.value), bottom + 18, tick.label, Anchor::kMiddle, "m");
  }
  if (!chart.value.label.empty())
    svg.text(frame.left + frame.width / 2, bottom + 37, chart.value.label, Anchor::kMiddle);
}

}  // namespace

std::string bar_chart_svg(const BarChart& chart) {
  check_chart(chart);
  std::vector<std::string> names;
  if (chart.series.size() > 1) {
    for (const BarSeries& series : chart.series) names.push_back(series.name);
  }
  // The height follows from what stands above the bars, so that is measured first on a picture that is thrown away.
  SvgWriter measure(chart.width, 0, "");
  const double above =
      measure.legend(14, measure.heading(chart.title, chart.subtitle), names) - (names.empty() ? 12 : 0);
  double widest = 0;
  for (const std::string& group : chart.groups)
    widest = std::max(widest, svg_text_width(fit_text(group, name_columns(chart))));

  Frame frame{};
  frame.top = above + 8;
  frame.left = 14 + widest + 11;
  frame.width = std::max(40.0, chart.width - frame.left - kValueRoom);
  frame.height = static_cast<double>(std::max<size_t>(chart.groups.size(), 1)) * group_height(chart);
  frame.axis = fit_values(chart, frame.width);
  const double height = frame.top + frame.height + kTickRoom + (chart.value.label.empty() ? 0 : 18);

  SvgWriter svg(chart.width, static_cast<int>(std::ceil(height)), chart.title);
  svg.legend(14, svg.heading(chart.title, chart.subtitle), names);
  draw_axis(svg, frame, chart);
  draw_groups(svg, frame, chart);
  svg.add("<path class=\"a\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", frame.x(0), frame.top, frame.top + frame.height);
  if (chart.groups.empty() || chart.series.empty()) {
    svg.text(frame.left + frame.width / 2, frame.top + frame.height / 2 + 4, "no data", Anchor::kMiddle, "m");
  }
  return std::move(svg).finish();
}

}  // namespace rebased
