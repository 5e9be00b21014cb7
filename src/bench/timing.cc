#include "bench/timing.h"

#include <algorithm>
#include <chrono>

namespace rebased {
namespace {

Timing summary(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const size_t n = seconds.size();
  return {.median = seconds[n / 2], .low = seconds[n / 4], .high = seconds[n - 1 - n / 4]};
}

}  // namespace

double seconds_of(const std::function<void()>& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

std::vector<Timing> time_in_turn(std::span<const std::function<void()>> works, const TimingOptions& options) {
  std::vector<int> calls;
  for (const auto& work : works) {
    work();
    const double guess = std::max(seconds_of(work), 1e-9);
    calls.push_back(static_cast<int>(std::clamp(options.round_seconds / guess, 1.0, 1e6)));
  }
  std::vector<std::vector<double>> seconds(works.size());
  for (int round = 0; round < std::max(options.rounds, 1); ++round) {
    for (size_t i = 0; i < works.size(); ++i) {
      const double all = seconds_of([&] {
        for (int call = 0; call < calls[i]; ++call) works[i]();
      });
      seconds[i].push_back(all / calls[i]);
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& of_work : seconds) timings.push_back(summary(std::move(of_work)));
  return timings;
}

}  // namespace rebased
