#include "record/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rebased {
namespace {

// The least of 1, 2, 5 times a power of ten that is not below x > 0.
double nice_step(double x) {
  const double power = std::pow(10, std::floor(std::log10(x)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= x * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

int decimals_of(double step) { return std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 15); }

// One form for all labels of an axis: plain, in thousands, millions or billions, or with an exponent.
std::string linear_label(double value, double step, double largest) {
  if (value == 0) return "0";
  if (largest >= 1e13 || largest < 1e-4) return fmt::format("{:.3g}", value);
  const char* suffix = largest >= 1e10 ? "G" : largest >= 1e7 ? "M" : largest >= 1e4 ? "k" : "";
  const double unit = largest >= 1e10 ? 1e9 : largest >= 1e7 ? 1e6 : largest >= 1e4 ? 1e3 : 1;
  return fmt::format("{:.{}f}{}", value / unit, decimals_of(step / unit), suffix);
}

std::vector<Tick> linear_ticks(double low, double high, double step) {
  std::vector<Tick> ticks;
  const double largest = std::max(std::fabs(low), std::fabs(high));
  const double first = std::ceil(low / step - 1e-6), last = std::floor(high / step + 1e-6);
  for (double i = first; i <= last; ++i) ticks.push_back({i * step, linear_label(i * step, step, largest)});
  return ticks;
}

std::string superscript(int number) {
  constexpr const char* kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string result = number < 0 ? "⁻" : "";
  for (char digit : std::to_string(std::abs(number))) result += kDigits[digit - '0'];
  return result;
}

std::string log_label(int factor, int decade, bool plain) {
  if (plain) return fmt::format("{:.{}f}", factor * std::pow(10, decade), std::max(0, -decade));
  const std::string power = "10" + superscript(decade);
  return factor == 1 ? power : fmt::format("{}·{}", factor, power);
}

// Decades, or some of them when there are many, or 1, 2, 5 in each when there are few.
std::vector<Tick> log_ticks(double low, double high, int most_ticks) {
  const double first = std::log10(low) - 1e-9, last = std::log10(high) + 1e-9;
  const int decades = static_cast<int>(std::floor(last) - std::ceil(first)) + 1;
  const bool plain = first >= -4 && last <= 4;
  const bool within = decades * 3 <= most_ticks;
  const int stride = std::max(1, (decades + most_ticks - 1) / most_ticks);
  std::vector<Tick> ticks;
  for (int decade = static_cast<int>(std::floor(first)); decade <= last; ++decade) {
    if (decade % stride != 0) continue;
    for (int factor : {1, 2, 5}) {
      const double position = decade + std::log10(factor);
      if (position < first || position > last || (factor > 1 && !within)) continue;
      ticks.push_back({std::pow(10, position), log_label(factor, decade, plain)});
    }
  }
  if (ticks.size() >= 2) return ticks;
  return linear_ticks(low, high, nice_step((high - low) / most_ticks));
}

void check_limits(const Axis& axis) {
  const auto check = [&](const std::optional<double>& limit) {
    if (limit && !std::isfinite(*limit)) throw ConfigError("axis \"{}\": a limit is not finite", axis.label);
    if (limit && axis.scale == Scale::kLog && *limit <= 0) {
      throw ConfigError("axis \"{}\": a limit of a logarithmic axis must be positive, found {}", axis.label, *limit);
    }
  };
  check(axis.min);
  check(axis.max);
  if (axis.min && axis.max && !(*axis.min < *axis.max)) {
    throw ConfigError("axis \"{}\": min {} is not below max {}", axis.label, *axis.min, *axis.max);
  }
}

// Least and greatest of what can be shown, explicit limits instead where given; low < high.
void find_ends(const Axis& axis, const std::vector<double>& values, FittedAxis& fitted) {
  const bool log = axis.scale == Scale::kLog;
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (double value : values) {
    if (!std::isfinite(value) || (log && value <= 0)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) low = high = axis.min.value_or(axis.max.value_or(log ? 1 : 0));
  fitted.low = axis.min.value_or(low);
  fitted.high = axis.max.value_or(high);
  const double spread = std::max(std::fabs(fitted.low), std::fabs(fitted.high)) * 1e-9;
  if (fitted.high - fitted.low > spread) return;
  // A single value, or data that lies outside of the one limit given: room around it, or beyond the limit.
  const double middle = axis.min ? *axis.min : axis.max ? *axis.max : low;
  const double room = middle == 0 ? 1 : std::fabs(middle) * 0.1;
  if (!axis.min) fitted.low = log ? middle / 2 : middle - room;
  if (!axis.max) fitted.high = log ? middle * 2 : middle + room;
}

}  // namespace

double FittedAxis::position(double value) const {
  if (scale == Scale::kLinear) return (value - low) / (high - low);
  if (value <= 0) return std::nan("");
  return std::log(value / low) / std::log(high / low);
}

FittedAxis fit_axis(const Axis& axis, const std::vector<double>& values, int most_ticks, bool round_ends) {
  check_limits(axis);
  FittedAxis fitted{0, 1, axis.scale, {}};
  find_ends(axis, values, fitted);
  if (axis.scale == Scale::kLinear) {
    const double step = nice_step((fitted.high - fitted.low) / std::max(1, most_ticks));
    if (round_ends && !axis.min) fitted.low = std::floor(fitted.low / step + 1e-6) * step;
    if (round_ends && !axis.max) fitted.high = std::ceil(fitted.high / step - 1e-6) * step;
    fitted.ticks = linear_ticks(fitted.low, fitted.high, step);
  } else {
    const double margin = round_ends ? std::pow(fitted.high / fitted.low, 0.04) : 1;
    if (!axis.min) fitted.low /= margin;
    if (!axis.max) fitted.high *= margin;
    fitted.ticks = log_ticks(fitted.low, fitted.high, most_ticks);
  }
  if (axis.ticks.empty()) return fitted;
  fitted.ticks.clear();
  for (double value : axis.ticks) {
    const double at = fitted.position(value);
    if (at >= -1e-9 && at <= 1 + 1e-9) fitted.ticks.push_back({value, fmt::format("{:g}", value)});
  }
  return fitted;
}

}  // namespace rebased
