#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rebased {

// " (did you mean 'x'?)" with the candidate nearest to `word`, or "" when none is near enough to be a slip of typing.
// Made to be appended to an error message. A swap of neighbouring letters counts as one edit.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace rebased
