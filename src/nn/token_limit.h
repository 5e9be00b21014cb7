#pragma once

#include <cstdint>

#include "nn/sequence_model.h"

namespace rebased {

// Longest sequence that the model's position table and every one of its mixers can take; 0: no limit.
int64_t token_limit(const SequenceModel& model);

}  // namespace rebased
