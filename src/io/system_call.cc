#include "io/system_call.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <random>

namespace rebased {
namespace {

constexpr std::string_view kTemporary = ".rebased-tmp-";

}  // namespace

FileDescriptor::FileDescriptor(const std::string& path, int flags, unsigned mode, std::string_view action)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
  if (path.empty()) throw IoError("cannot {} a file: its path is empty", action);
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

std::string follow_links(const std::string& path) {
  constexpr int kMaxLinks = 40;  // as Linux follows
  std::filesystem::path followed = path;
  for (int links = 0; links < kMaxLinks; ++links) {
    std::error_code no_link;
    const std::filesystem::path target = std::filesystem::read_symlink(followed, no_link);
    if (no_link) return followed.string();
    followed = followed.parent_path() / target;  // an absolute target replaces the folder
  }
  throw IoError("{}: a symbolic link that leads back to itself", path);
}

std::string temporary_name(const std::string& path) {
  static std::atomic<uint32_t> counter{std::random_device()()};
  return fmt::format("{}{}{:08x}-{:08x}", path, kTemporary, static_cast<uint32_t>(::getpid()), counter.fetch_add(1));
}

std::optional<std::string_view> name_before_temporary(std::string_view name) {
  constexpr size_t kDigits = 8, kEnding = kTemporary.size() + kDigits + 1 + kDigits;
  if (name.size() <= kEnding) return std::nullopt;
  const std::string_view ending = name.substr(name.size() - kEnding), digits = ending.substr(kTemporary.size());
  const auto hexadecimal = [](std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  };
  const bool ours = ending.starts_with(kTemporary) && hexadecimal(digits.substr(0, kDigits)) &&
                    digits[kDigits] == '-' && hexadecimal(digits.substr(kDigits + 1));
  return ours ? std::optional(name.substr(0, name.size() - kEnding)) : std::nullopt;
}

}  // namespace rebased
