#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rebased {

enum class ProgressMode {
  kBar,    // one line that is rewritten in place: for terminals
  kLines,  // a plain line now and then: for log files and pipes
  kSilent,
};

struct ProgressOptions {
  ProgressMode mode = ProgressMode::kLines;
  bool color = false;
  double bar_seconds = 0.1;                       // least time between two redraws of the bar
  double line_seconds = 10;                       // and between two plain lines
  std::string unit = "steps";                     // what is counted
  std::function<double()> clock{};                // seconds; null: the steady clock
  std::function<int()> columns{};                 // width of the terminal; null: asks stderr, 80 when it does not know
  std::function<void(std::string_view)> write{};  // null: stderr, flushed
};

// A bar when stderr is a terminal that can rewrite a line, else plain lines. Color unless NO_COLOR is set and not
// empty.
ProgressOptions progress_options_for_stderr();

struct ProgressValue {
  std::string_view name;
  double value;
};

// Shows how far a loop is:
//   train  1200/40000   3%  ━━╸━━━━━━━━━━━━━━━  12.3 steps/s  ETA 52:34  loss 2.345  accuracy 0.5120
// An update that is not due costs one look at the clock. For one thread. The destructor ends the line, so that after an
// exception or an interrupted loop the next output starts on a line of its own.
class Progress {
 public:
  explicit Progress(ProgressOptions options = progress_options_for_stderr());
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A new phase, after finish() of the one before. total <= 0: unknown. `done` steps were made before (a resumed run);
  // they do not count for the rate.
  void begin(std::string_view phase, int64_t total, int64_t done = 0);

  // `step` steps of the phase are done. Values are shown in the order given.
  void update(int64_t step, std::span<const ProgressValue> values);
  void update(int64_t step, std::initializer_list<ProgressValue> values = {}) {
    update(step, std::span<const ProgressValue>(values.begin(), values.size()));
  }

  // A line of other output, printed above the bar.
  void message(std::string_view line);

  // Shows the last update and the time taken, and ends the line. Does nothing outside a phase.
  void finish();

 private:
  void show(double now, bool last);
  std::string bar_line(double now, bool last) const;
  std::string plain_line(double now, bool last) const;
  std::string timing(double now, bool last) const;
  void count_rate(double now);
  double rate() const { return rate_time_ > 0 ? rate_steps_ / rate_time_ : 0; }  // steps a second
  double fraction() const;

  ProgressOptions options_;
  std::string phase_;
  bool active_ = false;
  bool bar_shown_ = false;
  int64_t total_ = 0, step_ = 0, first_step_ = 0;
  std::vector<std::pair<std::string, double>> values_;
  double begun_ = 0, shown_ = 0;  // times
  // Steps and seconds so far, old ones fading away over kRateMemory.
  double rate_steps_ = 0, rate_time_ = 0, rate_at_ = 0;
  int64_t rate_step_ = 0;
};

}  // namespace rebased
