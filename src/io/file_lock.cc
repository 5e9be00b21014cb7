#include "io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>

namespace rebased {

std::optional<FileLock> FileLock::take(const std::string& path) {
  FileDescriptor file(path, O_RDWR | O_CREAT, 0666, "open");
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return FileLock(std::move(file));
  if (errno != EWOULDBLOCK) fail_errno(path, "lock");
  return std::nullopt;
}

}  // namespace rebased
