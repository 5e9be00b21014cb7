#pragma once

#include <string>

#include "nn/sequence_model.h"

namespace rebased {

// 16 hexadecimal digits that say which model a state belongs to: a hash of the options that are not at their defaults
// and of the parameters, by name, shape, type and the bytes that the cpu engine computes with. So a model is the same
// packed on disk or while it is read, and another one with other weights or packed otherwise. The tokenizer, the number
// of threads and the machine are not part of it.
std::string fingerprint(const SequenceModel& model);

}  // namespace rebased
