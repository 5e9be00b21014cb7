#pragma once

#include <string_view>

namespace rebased {

std::string_view version();     // of the project, "0.1.0"
std::string_view git_commit();  // twelve digits, with "-dirty" after local changes; "unknown" outside a git checkout

}  // namespace rebased
