#pragma once

#include <span>
#include <string_view>

namespace rebased {

// Throws NotFiniteError unless every loss of a pass over `what` is finite, for no score could be made of them.
void require_finite(std::span<const float> losses, std::string_view what);

}  // namespace rebased
