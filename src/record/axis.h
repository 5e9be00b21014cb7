#pragma once

#include <optional>
#include <string>
#include <vector>

namespace rebased {

enum class Scale { kLinear, kLog };

// What the author of a chart says about an axis. `min`, `max` and `ticks` are chosen from the data when absent.
struct Axis {
  std::string label;  // with its unit: "time (s)"
  Scale scale = Scale::kLinear;
  std::optional<double> min, max;
  std::vector<double> ticks;  // for values that are choices: model dimensions 64, 128, 256
};

struct Tick {
  double value;
  std::string label;
};

// An axis fitted to data: finite ends, low < high, and ticks between them.
struct FittedAxis {
  double low, high;
  Scale scale;
  std::vector<Tick> ticks;

  // Where a value lies, 0 at low and 1 at high; not finite when the value is not, or not positive on a logarithmic
  // axis.
  double position(double value) const;
};

// Covers the values that can be shown (finite, and positive on a logarithmic axis); `round_ends` widens to whole ticks.
// At most about `most_ticks` ticks. One value, or none, gives an axis around it. Throws ConfigError when min and max
// contradict each other or a logarithmic axis.
FittedAxis fit_axis(const Axis& axis, const std::vector<double>& values, int most_ticks, bool round_ends);

}  // namespace rebased
