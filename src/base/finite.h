#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"

namespace rebased {

// Numbers that would be saved or reported, and are infinite or NaN.
class NotFiniteError : public Error {
 public:
  using Error::Error;
};

bool all_finite(std::span<const float> numbers);
bool all_finite_bf16(std::span<const uint16_t> numbers);

}  // namespace rebased
