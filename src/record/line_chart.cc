#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "record/plot.h"
#include "record/svg.h"
#include "record/text.h"

namespace rebased {
namespace {

using Anchor = SvgWriter::Anchor;

constexpr double kLabelGap = 16;   // least distance between the baselines of two names
constexpr double kNameRoom = 34;   // from the plot to the names
constexpr size_t kFewPoints = 24;  // up to here every point is a dot
constexpr double kOverhang = 5;    // what half a line or a dot may stick out of the plot

struct Point {
  double x, y;
};

struct Frame {
  double left, top, width, height;
  FittedAxis x, y;

  Point place(double x_value, double y_value) const {
    return {left + x.position(x_value) * width, top + (1 - y.position(y_value)) * height};
  }
};

bool visible(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

void check_chart(const LineChart& chart) {
  if (chart.width < 160 || chart.height < 160) {
    throw ConfigError("a chart is at least 160 pixels wide and high, found {} by {}", chart.width, chart.height);
  }
  for (const Series& series : chart.series) {
    const size_t n = series.x.size();
    const bool band = series.low.size() == n && series.high.size() == n;
    const bool no_band = series.low.empty() && series.high.empty();
    if (series.y.size() != n || !(band || no_band)) {
      throw ConfigError("series \"{}\": x, y, low and high have {}, {}, {} and {} values, expected one length",
                        series.name, n, series.y.size(), series.low.size(), series.high.size());
    }
  }
}

std::vector<double> all_x(const LineChart& chart) {
  std::vector<double> values;
  for (const Series& series : chart.series) values.insert(values.end(), series.x.begin(), series.x.end());
  return values;
}

// Steps that start at 1 or 10 are drawn from 0 on.
std::vector<double> with_zero(const Axis& axis, std::vector<double> values) {
  if (axis.scale == Scale::kLog) return values;
  const FittedAxis data = fit_axis({}, values, 2, false);
  if (data.low > 0 && data.low <= 0.06 * data.high) values.push_back(0);
  return values;
}

std::vector<double> all_y(const LineChart& chart) {
  std::vector<double> values;
  for (const Series& series : chart.series) {
    for (const auto* part : {&series.y, &series.low, &series.high})
      values.insert(values.end(), part->begin(), part->end());
  }
  return values;
}

// Runs of neighbouring points without a gap.
std::vector<std::vector<Point>> pieces(const std::vector<Point>& points) {
  std::vector<std::vector<Point>> result(1);
  for (const Point& point : points) {
    if (visible(point)) {
      result.back().push_back(point);
    } else if (!result.back().empty()) {
      result.emplace_back();
    }
  }
  if (result.back().empty()) result.pop_back();
  return result;
}

// Of the points in one column of pixels only the first, the lowest, the highest and the last can be told apart.
std::vector<Point> thinned(const std::vector<Point>& points, double width) {
  if (static_cast<double>(points.size()) < 4 * width) return points;
  std::vector<Point> kept;
  for (size_t begin = 0; begin < points.size();) {
    size_t end = begin + 1, least = begin, most = begin;
    for (; end < points.size() && std::floor(points[end].x) == std::floor(points[begin].x); ++end) {
      if (points[end].y < points[least].y) least = end;
      if (points[end].y > points[most].y) most = end;
    }
    size_t last = points.size();
    for (size_t i : {begin, std::min(least, most), std::max(least, most), end - 1}) {
      if (i != last) kept.push_back(points[i]);
      last = i;
    }
    begin = end;
  }
  return kept;
}

std::string path_of(const std::vector<Point>& points) {
  std::string path;
  for (const Point& point : points) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", point.x, point.y);
  return path;
}

void draw_axes(SvgWriter& svg, const Frame& frame, const LineChart& chart) {
  const double bottom = frame.top + frame.height, right = frame.left + frame.width;
  for (const Tick& tick : frame.y.ticks) {
    const double y = bottom - frame.y.position(tick.value) * frame.height;
    svg.add("<path class=\"g\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", frame.left, y, right);
    svg.text(frame.left - 7, y + 4.3, tick.label, Anchor::kEnd, "m");
  }
  for (const Tick& tick : frame.x.ticks) {
    const double x = frame.left + frame.x.position(tick.value) * frame.width;
    svg.add("<path class=\"g\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", x, frame.top, bottom);
    svg.text(x, bottom + 18, tick.label, Anchor::kMiddle, "m");
  }
  svg.add("<path class=\"a\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", frame.left, bottom, right);
  if (!chart.x.label.empty()) svg.text(frame.left + frame.width / 2, bottom + 37, chart.x.label, Anchor::kMiddle);
  if (!chart.y.label.empty()) svg.text(14, frame.top - 14, chart.y.label);
}

void draw_band(SvgWriter& svg, const Frame& frame, const Series& series, size_t i) {
  std::vector<Point> lower, upper;
  const auto flush = [&] {
    if (lower.size() > 1) {
      std::reverse(lower.begin(), lower.end());
      std::vector<Point> outline = upper;
      outline.insert(outline.end(), lower.begin(), lower.end());
      svg.add("<path class=\"b {}\" d=\"{}Z\"/>\n", series_fill(i), path_of(outline));
    }
    lower.clear();
    upper.clear();
  };
  for (size_t n = 0; n < series.low.size(); ++n) {
    const Point low = frame.place(series.x[n], series.low[n]), high = frame.place(series.x[n], series.high[n]);
    if (visible(low) && visible(high)) {
      lower.push_back(low);
      upper.push_back(high);
    } else {
      flush();
    }
  }
  flush();
}

std::vector<Point> place_all(const Frame& frame, const Series& series) {
  std::vector<Point> points;
  for (size_t n = 0; n < series.x.size(); ++n) points.push_back(frame.place(series.x[n], series.y[n]));
  return points;
}

void draw_line(SvgWriter& svg, const Frame& frame, const Series& series, size_t i) {
  const auto dot = [&](const Point& point) {
    svg.add("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.2\"/>\n", series_fill(i), point.x, point.y);
  };
  for (const auto& piece : pieces(place_all(frame, series))) {
    if (piece.size() > 1) {
      svg.add("<path class=\"l {}\" d=\"{}\"/>\n", series_stroke(i), path_of(thinned(piece, frame.width)));
    }
    if (piece.size() == 1 || series.x.size() <= kFewPoints) std::for_each(piece.begin(), piece.end(), dot);
  }
}

struct EndLabel {
  size_t series;
  Point end;  // of the line
  double y;   // of the name
};

// Moves the labels, sorted by y, as little as keeps them kLabelGap apart and between top and bottom. Without the gaps
// that is isotonic regression: neighbours out of order are pooled at their mean.
void spread_labels(std::vector<EndLabel>& labels, double top, double bottom) {
  struct Pool {
    double sum;
    double count;
    double mean() const { return sum / count; }
  };
  std::vector<Pool> pools;
  for (size_t i = 0; i < labels.size(); ++i) {
    pools.push_back({labels[i].y - static_cast<double>(i) * kLabelGap, 1});
    while (pools.size() > 1 && pools[pools.size() - 2].mean() >= pools.back().mean()) {
      pools[pools.size() - 2].sum += pools.back().sum;
      pools[pools.size() - 2].count += pools.back().count;
      pools.pop_back();
    }
  }
  const double limit = std::max(top, bottom - static_cast<double>(labels.size() - 1) * kLabelGap);
  size_t i = 0;
  for (const Pool& pool : pools) {
    for (double n = 0; n < pool.count; ++n, ++i) {
      labels[i].y = std::clamp(pool.mean(), top, limit) + static_cast<double>(i) * kLabelGap;
    }
  }
}

// Each name beside the end of its line, with a thin line to where it belongs.
void draw_names(SvgWriter& svg, const Frame& frame, const LineChart& chart) {
  std::vector<EndLabel> labels;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const auto lines = pieces(place_all(frame, chart.series[i]));
    if (lines.empty() || chart.series[i].name.empty()) continue;
    const Point last = lines.back().back();
    const Point end = {std::clamp(last.x, frame.left, frame.left + frame.width),
                       std::clamp(last.y, frame.top, frame.top + frame.height)};
    labels.push_back({i, end, end.y});
  }
  if (labels.empty()) return;
  std::sort(labels.begin(), labels.end(), [](const EndLabel& a, const EndLabel& b) { return a.y < b.y; });
  spread_labels(labels, frame.top, frame.top + frame.height);
  const double x = frame.left + frame.width + kNameRoom;
  for (const EndLabel& label : labels) {
    svg.add(
        "<path class=\"l k {0}\" d=\"M{1:.1f} {2:.1f}L{3:.1f} {4:.1f}\"/>\n<path class=\"l {0}\" d=\"M{3:.1f} "
        "{4:.1f}h8\"/>\n",
        series_stroke(label.series), label.end.x + 5, label.end.y, x - 13, label.y);
    svg.text(x, label.y + 4.3, chart.series[label.series].name);
  }
}

double widest_name(const LineChart& chart) {
  double widest = 0;
  for (const Series& series : chart.series) widest = std::max(widest, svg_text_width(series.name));
  return widest;
}

bool names_at_lines(const LineChart& chart) {
  if (chart.naming != Naming::kAuto) return chart.naming == Naming::kDirect;
  const bool narrow = widest_name(chart) <= chart.width * 0.22;
  return narrow && static_cast<double>(chart.series.size()) * kLabelGap <= chart.height * 0.6;
}

// Room for the tick labels at the left, for names at the right, for everything else above and below.
Frame make_frame(const LineChart& chart, double top, bool direct) {
  Frame frame{};
  frame.top = top + (chart.y.label.empty() ? 16 : 36);
  frame.height = std::max(40.0, chart.height - frame.top - (chart.x.label.empty() ? 30 : 48));
  frame.y = fit_axis(chart.y, all_y(chart), std::max(2, static_cast<int>(frame.height / 36)), true);
  double widest = 0;
  for (const Tick& tick : frame.y.ticks) widest = std::max(widest, svg_text_width(tick.label));
  frame.left = 14 + widest + 9;
  const double names = direct && widest_name(chart) > 0 ? widest_name(chart) + kNameRoom : 10;
  frame.width = std::max(40.0, chart.width - frame.left - names - 12);
  frame.x = fit_axis(chart.x, with_zero(chart.x, all_x(chart)), std::max(2, static_cast<int>(frame.width / 75)), false);
  return frame;
}

}  // namespace

std::string line_chart_svg(const LineChart& chart) {
  check_chart(chart);
  const bool direct = names_at_lines(chart);
  SvgWriter svg(chart.width, chart.height, chart.title);
  double top = svg.heading(chart.title, chart.subtitle);
  if (!direct) {
    std::vector<std::string> names;
    for (const Series& series : chart.series) names.push_back(series.name);
    top = svg.legend(14, top, names);
  }
  Frame frame = make_frame(chart, top, direct);
  const bool empty = std::all_of(chart.series.begin(), chart.series.end(),
                                 [&](const Series& series) { return pieces(place_all(frame, series)).empty(); });
  if (empty) {
    frame.x.ticks.clear();
    frame.y.ticks.clear();
  }
  draw_axes(svg, frame, chart);
  // A nested picture clips what lies outside explicit limits.
  const double x = frame.left - kOverhang, y = frame.top - kOverhang;
  const double width = frame.width + 2 * kOverhang, height = frame.height + 2 * kOverhang;
  svg.add(
      "<svg x=\"{0:.1f}\" y=\"{1:.1f}\" width=\"{2:.1f}\" height=\"{3:.1f}\" viewBox=\"{0:.1f} {1:.1f} {2:.1f} "
      "{3:.1f}\">\n",
      x, y, width, height);
  for (size_t i = 0; i < chart.series.size(); ++i) draw_band(svg, frame, chart.series[i], i);
  for (size_t i = 0; i < chart.series.size(); ++i) draw_line(svg, frame, chart.series[i], i);
  svg.add("</svg>\n");
  if (direct) draw_names(svg, frame, chart);
  if (empty) svg.text(frame.left + frame.width / 2, frame.top + frame.height / 2, "no data", Anchor::kMiddle, "m");
  return std::move(svg).finish();
}

}  // namespace rebased
