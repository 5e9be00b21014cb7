#pragma once

#include <vector>

#include "contract/op_check.h"

namespace rebased::testing {

// A gated running sum with one known fault, and the promise that it breaks.
struct BrokenCore {
  const char* fault;
  const char* broken_promise;
  OpRow row;
};
const std::vector<BrokenCore>& broken_cores();

// The same operation without a fault.
OpRow sound_core();

}  // namespace rebased::testing
