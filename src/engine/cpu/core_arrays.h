#pragma once

#include <algorithm>
#include <span>

#include "engine/core.h"
#include "engine/cpu/cpu_value.h"

namespace rebased {

// Where values in host memory lie, in the arrays of a core's call; empty ones are null.
template <class Number>
void point_to(std::span<const Value> values, Number** pointers) {
  std::transform(values.begin(), values.end(), pointers, mutable_reals_or_null<Number>);
}

template <class Real>
CoreCall<Real> core_call(const CoreUse& use, std::span<const Value> operands) {
  CoreCall<Real> call;
  call.dims = &use.dims;
  point_to(operands, call.operands.data());
  return call;
}

}  // namespace rebased
