#pragma once

#include <string>
#include <vector>

namespace rebased {

// Becomes rebased-train, which lies beside this program or in PATH, with a verb and what was typed behind it. Throws
// IoError when there is none.
[[noreturn]] void execute_trainer(const std::string& verb, const std::vector<std::string>& typed);

}  // namespace rebased
