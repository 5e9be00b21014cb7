#pragma once

#include <functional>
#include <span>
#include <vector>

namespace rebased {

struct TimingOptions {
  int rounds = 9;               // each piece of work is timed once a round
  double round_seconds = 0.05;  // and repeated for at least this long
  bool scaling = false;         // measures of speed also time everything on one thread
};

// Seconds of one call.
struct Timing {
  double median = 0;
  double low = 0, high = 0;  // quartiles over the rounds
};

// Times pieces of work in turn, round by round, so that a slow moment of the machine meets all of them and ratios
// hold. One call of each comes first, untimed.
std::vector<Timing> time_in_turn(std::span<const std::function<void()>> works, const TimingOptions& options);

double seconds_of(const std::function<void()>& work);  // of one call, by the steady clock

}  // namespace rebased
