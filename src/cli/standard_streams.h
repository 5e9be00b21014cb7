#pragma once

#include <string_view>

namespace rebased {

// The reader of stdout has gone away (a pipe into `head`): not an error, but the end of the work.
struct OutputClosed {};

// Once, before any file is opened: descriptors 0, 1 and 2 are open afterwards, so that no file of ours takes the place
// of a stream that the caller closed, and a broken pipe is an error code instead of a signal.
void prepare_standard_streams();

// Writes results to stdout at once, without a buffer. Throws OutputClosed, or IoError for anything else.
void write_output(std::string_view text);

// Ends the process as a broken pipe would have: by SIGPIPE, silently.
[[noreturn]] void end_by_broken_pipe();

}  // namespace rebased
