#pragma once

#include <span>

#include "engine/core.h"
#include "engine/cpu/cpu_value.h"

namespace rebased {

// Where values of the cpu engine lie, in the arrays of a core's call; empty ones are null.
void point_to(std::span<const Value> values, float** pointers);
void point_to(std::span<const Value> values, const float** pointers);
CoreCall<float> core_call(const CoreUse& use, std::span<const Value> operands);

}  // namespace rebased
