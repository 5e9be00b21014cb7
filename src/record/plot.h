#pragma once

#include <string>
#include <vector>

#include "record/axis.h"

namespace rebased {

// A line: y over x, in the order given. Points that are not finite, or not positive on a logarithmic axis, leave a gap;
// a point alone between gaps is a dot. Lines of few points show them all as dots.
struct Series {
  std::string name;  // shown beside the line or in the legend; empty: not shown
  std::vector<double> x, y;
  std::vector<double> low, high;  // a band around the line, one pair a point; empty: none
};

enum class Naming {
  kAuto,    // at the lines' ends when the names are short and few enough, else a legend
  kDirect,  // at the lines' ends
  kLegend,  // above the plot
};

struct LineChart {
  std::string title, subtitle;
  Axis x, y;
  std::vector<Series> series;
  Naming naming = Naming::kAuto;
  int width = 720, height = 420;  // pixels; the picture scales with what it is put into
};

// Groups of horizontal bars from zero, one bar a series in each group.
struct BarSeries {
  std::string name;
  std::vector<double> values;     // one a group; what is not finite is shown as "–"
  std::vector<double> low, high;  // ends of the error bars, one pair a group; empty: none
};

struct BarChart {
  std::string title, subtitle;
  Axis value;                       // linear only
  std::vector<std::string> groups;  // names, from top to bottom
  std::vector<BarSeries> series;
  int width = 720;  // the height follows from the bars
};

// Standalone SVG that follows the reader's light or dark preference. Colors are distinct for colour-blind readers;
// beyond eight series dashes tell further ones apart. Long lines are thinned to what the pixels can show. Throws
// ConfigError when lengths within a series differ, or for what fit_axis refuses, or a size below 160 pixels.
std::string line_chart_svg(const LineChart& chart);
std::string bar_chart_svg(const BarChart& chart);

}  // namespace rebased
