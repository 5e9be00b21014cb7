#pragma once

#include <string>
#include <vector>

namespace rebased {

// Becomes the program `name`, which lies beside this one or in PATH, with these words behind its name. Throws IoError
// when there is none; `purpose` goes on "NAME, PURPOSE, is neither ..." there.
[[noreturn]] void execute_program(const std::string& name, const std::string& purpose,
                                  const std::vector<std::string>& words);

}  // namespace rebased
