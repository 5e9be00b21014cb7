#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace rebased {

// The reader of stdout has gone away (a pipe into `head`): not an error, but the end of the work.
struct OutputClosed {};

// Once, before any file is opened: descriptors 0, 1 and 2 are open afterwards, so that no file of ours takes the place
// of a stream that the caller closed; a broken pipe and a file beyond the limit of its size (ulimit -f) are error codes
// instead of signals.
void prepare_standard_streams();

// Writes results to stdout at once, without a buffer. Throws OutputClosed, or IoError for anything else.
void write_output(std::string_view text);

template <class... Args>
void print_output(fmt::format_string<Args...> format, Args&&... args) {
  write_output(fmt::format(format, std::forward<Args>(args)...));
}

// Ends the process as a broken pipe would have: by SIGPIPE, silently.
[[noreturn]] void end_by_broken_pipe();

}  // namespace rebased
