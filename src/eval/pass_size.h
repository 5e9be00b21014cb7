#pragma once

#include <cstdint>
#include <string_view>

#include "base/memory.h"

namespace rebased {

// Throws ConfigError "WHAT: a pass of 9 rows of 5 tokens would take ..." unless the memory holds the least that such a
// pass of an evaluation takes: a residual stream of `channels` and, of each row, a state of `state_bytes`.
void check_evaluation_pass(std::string_view what, int64_t rows, int64_t tokens, int64_t channels, int64_t state_bytes,
                           int64_t limit = machine_memory());

}  // namespace rebased
