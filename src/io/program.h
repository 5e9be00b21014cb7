#pragma once

#include <exception>
#include <functional>
#include <string>
#include <vector>

namespace rebased {

// What to say about an error, of ours or of the standard library's, on one line.
std::string error_sentence(const std::exception& error);

// What main() of every program of ours returns: prepares the standard streams and does the work, which gives the exit
// code. What it throws becomes its sentence on stderr and the exit code 2 for UsageError and ConfigError, 1 for all
// else. When the reader of stdout goes away, the process ends as by a broken pipe.
int run_program(const std::function<int()>& work);

// Becomes the program `name`, which lies beside this one or in PATH, with these words behind its name. Throws IoError
// when there is none; `purpose` goes on "NAME, PURPOSE, is neither ..." there.
[[noreturn]] void execute_program(const std::string& name, const std::string& purpose,
                                  const std::vector<std::string>& words);

}  // namespace rebased
