#include "io/system_call.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <random>

namespace rebased {

FileDescriptor::FileDescriptor(const std::string& path, int flags, unsigned mode, std::string_view action)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
  if (fd_ < 0) fail_errno(path, action);
}

void FileDescriptor::close(std::string_view path) {
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) != 0) fail_errno(path, "close");
}

void FileDescriptor::close_quietly() noexcept {
  if (fd_ >= 0) ::close(fd_);
}

void sync_folder(const std::string& folder) {
  const FileDescriptor fd(folder, O_RDONLY | O_DIRECTORY, 0, "open");
  // Some file systems cannot sync a folder and say EINVAL; there is nothing more to be done there.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) fail_errno(folder, "sync");
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string temporary_name(const std::string& path) {
  static std::atomic<uint32_t> counter{std::random_device()()};
  return fmt::format("{}.tmp-{:x}-{:x}", path, ::getpid(), counter.fetch_add(1));
}

}  // namespace rebased
