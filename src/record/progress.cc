#include "record/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/printable.h"
#include "record/text.h"

namespace rebased {
namespace {

constexpr double kRateMemory = 20;  // seconds after which a measurement of the rate counts 1/e
constexpr int64_t kMostBar = 30, kLeastBar = 8;
constexpr std::string_view kEraseLine = "\r\x1b[K";

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void write_stderr(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::string format_rate(double rate) {
  return fmt::format("{:.{}f}", rate, rate >= 100 ? 0 : rate >= 10 ? 1 : rate >= 1 ? 2 : 3);
}

// `width` columns, the first part of them full. Without color the shapes alone must tell.
std::string draw_bar(int64_t width, double fraction, bool color) {
  const auto full = static_cast<int64_t>(fraction * static_cast<double>(width));
  std::string bar = color ? "\x1b[36m" : "";
  for (int64_t i = 0; i < width; ++i) {
    if (i == full && color) bar += "\x1b[90m";
    bar += i < full || color ? "━" : "╌";
  }
  return bar + (color ? "\x1b[0m" : "");
}

}  // namespace

ProgressOptions progress_options_for_stderr() {
  ProgressOptions options;
  const char* terminal = std::getenv("TERM");
  const bool rewritable = terminal != nullptr && std::string_view(terminal) != "dumb" && *terminal != '\0';
  if (isatty(STDERR_FILENO) == 1 && rewritable) options.mode = ProgressMode::kBar;
  options.color = options.mode == ProgressMode::kBar && !is_set("NO_COLOR");
  return options;
}

Progress::Progress(ProgressOptions options) : options_(std::move(options)) {
  if (!options_.clock) options_.clock = steady_seconds;
  if (!options_.columns) options_.columns = terminal_columns;
  if (!options_.write) options_.write = write_stderr;
}

Progress::~Progress() {
  try {
    finish();
  } catch (...) {  // output is gone: nothing is left to tidy up
  }
}

void Progress::begin(std::string_view phase, int64_t total, int64_t done) {
  finish();
  active_ = true;
  phase_ = printable(phase);
  total_ = std::max<int64_t>(total, 0);
  step_ = first_step_ = rate_step_ = done;
  values_.clear();
  begun_ = shown_ = rate_at_ = options_.clock();
  rate_steps_ = rate_time_ = 0;
  if (options_.mode == ProgressMode::kBar) show(begun_, false);
}

void Progress::update(int64_t step, std::span<const ProgressValue> values) {
  if (!active_ || options_.mode == ProgressMode::kSilent) return;
  step_ = step;
  values_.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    values_[i].first.assign(values[i].name);
    values_[i].second = values[i].value;
  }
  const double now = options_.clock();
  const double interval = options_.mode == ProgressMode::kBar ? options_.bar_seconds : options_.line_seconds;
  if (now - shown_ >= interval) show(now, false);
}

void Progress::message(std::string_view line) {
  if (!bar_shown_) {
    options_.write(fmt::format("{}\n", printable(line)));
    return;
  }
  options_.write(fmt::format("{}{}\n", kEraseLine, printable(line)));
  show(options_.clock(), false);
}

void Progress::finish() {
  if (!active_) return;
  if (options_.mode != ProgressMode::kSilent) show(options_.clock(), true);
  active_ = bar_shown_ = false;
}

void Progress::show(double now, bool last) {
  count_rate(now);
  shown_ = now;
  const bool bar = options_.mode == ProgressMode::kBar;
  std::string text = bar ? std::string(kEraseLine) + bar_line(now, last) : plain_line(now, last);
  if (last || !bar) text += '\n';
  bar_shown_ = bar && !last;
  options_.write(text);
}

void Progress::count_rate(double now) {
  const double seconds = now - rate_at_;
  if (seconds <= 0) return;
  const double kept = std::exp(-seconds / kRateMemory);
  rate_steps_ = rate_steps_ * kept + static_cast<double>(step_ - rate_step_);
  rate_time_ = rate_time_ * kept + seconds;
  rate_at_ = now;
  rate_step_ = step_;
}

double Progress::fraction() const {
  return total_ > 0 ? std::clamp(static_cast<double>(step_) / static_cast<double>(total_), 0.0, 1.0) : 0;
}

// Rate and remaining time; at the end the mean rate and the time taken.
std::string Progress::timing(double now, bool last) const {
  const double elapsed = now - begun_;
  if (last) {
    const double mean = elapsed > 0 ? static_cast<double>(step_ - first_step_) / elapsed : 0;
    return fmt::format("{} {}/s  in {}", format_rate(mean), options_.unit, format_duration(elapsed));
  }
  std::string text = fmt::format("{} {}/s", rate() > 0 ? format_rate(rate()) : "–", options_.unit);
  if (total_ > 0) {
    const double left = rate() > 0 ? static_cast<double>(std::max<int64_t>(total_ - step_, 0)) / rate() : -1;
    text += "  ETA " + format_duration(left);
  }
  return text;
}

// The bar shrinks first, then it goes, then the last values, then the line is cut.
std::string Progress::bar_line(double now, bool last) const {
  const std::string total = std::to_string(total_);
  std::string head = total_ > 0 ? fmt::format("{}  {:>{}}/{}  {:>3}%", phase_, step_, total.size(), total,
                                              static_cast<int>(fraction() * 100))
                                : fmt::format("{}  {}", phase_, step_);
  std::string tail = "  " + timing(now, last);
  const int64_t columns = options_.columns() - 1;  // a full last column would wrap on some terminals
  for (const auto& [name, value] : values_) {
    const std::string field = fmt::format("  {} {}", name, format_value(value));
    if (text_width(head) + text_width(tail) + text_width(field) > columns) break;
    tail += field;
  }
  const int64_t room = std::min(columns - text_width(head) - text_width(tail) - 2, kMostBar);
  if (total_ > 0 && room >= kLeastBar) return head + "  " + draw_bar(room, fraction(), options_.color) + tail;
  return fit_text(head + tail, columns);
}

std::string Progress::plain_line(double now, bool last) const {
  std::string line = fmt::format("{} {}", phase_, step_);
  if (total_ > 0) line += fmt::format("/{} ({}%)", total_, static_cast<int>(fraction() * 100));
  line += "  " + timing(now, last);
  for (const auto& [name, value] : values_) line += fmt::format("  {} {}", name, format_value(value));
  return line;
}

}  // namespace rebased
