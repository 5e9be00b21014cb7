#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rebased {
namespace {

double cosine(double progress) { return (1 + std::cos(std::numbers::pi * progress)) / 2; }

double shape(const ScheduleRecipe& schedule, int64_t step, int64_t total_steps, int64_t epoch, int64_t epochs) {
  if (schedule.kind == "constant") return 1;
  if (schedule.kind == "cosine_epoch") {
    return cosine(std::min(static_cast<double>(epoch) / static_cast<double>(epochs), 1.0));
  }
  const auto falling = static_cast<double>(std::max<int64_t>(total_steps - schedule.warmup_steps, 1));
  const double progress = std::clamp(static_cast<double>(step - schedule.warmup_steps) / falling, 0.0, 1.0);
  return schedule.kind == "cosine" ? cosine(progress) : 1 - progress;
}

}  // namespace

double learning_rate(const ScheduleRecipe& schedule, double peak, int64_t step, int64_t total_steps, int64_t epoch,
                     int64_t epochs) {
  const double warm =
      step < schedule.warmup_steps ? static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps) : 1;
  const double fall = shape(schedule, step, total_steps, epoch, epochs);
  return peak * warm * (schedule.final_ratio + (1 - schedule.final_ratio) * fall);
}

}  // namespace rebased
