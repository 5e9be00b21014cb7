#include "io/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "io/system_call.h"

namespace rebased {
namespace {

// The wrong direction on purpose: using a stream that was closed still fails.
void occupy(int fd, int flags) {
  if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF) ::open("/dev/null", flags);  // takes the lowest free number: fd
}

}  // namespace

void prepare_standard_streams() {
  occupy(STDIN_FILENO, O_WRONLY);
  occupy(STDOUT_FILENO, O_RDONLY);
  occupy(STDERR_FILENO, O_WRONLY);  // messages nobody reads are dropped
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void write_output(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EPIPE) {
      throw OutputClosed{};
    } else if (errno != EINTR) {
      fail_errno("standard output", "write");
    }
  }
}

void end_by_broken_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
  std::raise(SIGPIPE);
  std::_Exit(EXIT_FAILURE);  // a caller that blocks SIGPIPE
}

}  // namespace rebased
