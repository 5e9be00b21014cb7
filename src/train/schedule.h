#pragma once

#include <cstdint>

#include "train/recipe.h"

namespace rebased {

// Learning rate of step `step` (0-based) of `total_steps`, in epoch `epoch` (0-based) of `epochs`:
// peak times warm-up times the schedule's shape, which falls from 1 to final_ratio and
// stays there.
double learning_rate(const ScheduleRecipe& schedule, double peak, int64_t step, int64_t total_steps, int64_t epoch,
                     int64_t epochs);

}  // namespace rebased
