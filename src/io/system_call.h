#pragma once

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "base/error.h"

namespace rebased {

// Throws IoError "PATH: cannot ACTION: reason" with the reason in errno.
[[noreturn]] inline void fail_errno(std::string_view path, std::string_view action) {
  const int code = errno;
  throw IoError("{}: cannot {}: {}", path, action, std::generic_category().message(code));
}

// A file descriptor that is closed with its owner.
class FileDescriptor {
 public:
  FileDescriptor(const std::string& path, int flags, unsigned mode, std::string_view action);  // throws IoError
  ~FileDescriptor() { close_quietly(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void close(std::string_view path);  // throws IoError

 private:
  void close_quietly() noexcept;
  int fd_ = -1;
};

// Runs f and turns what std::filesystem throws into IoError.
template <class F>
auto with_io_errors(F&& f) {
  try {
    return f();
  } catch (const std::filesystem::filesystem_error& error) {
    throw IoError("{}: {}", error.path1().string(), error.code().message());
  }
}

void sync_folder(const std::string& folder);     // makes renames inside it last; throws IoError
std::string folder_of(const std::string& path);  // "." for a bare name

// What `path` names once it is followed while it is a symbolic link, whether that exists or not. Throws IoError for a
// circle of links.
std::string follow_links(const std::string& path);

// PATH.rebased-tmp-XXXXXXXX-XXXXXXXX, new on every call and in every process.
std::string temporary_name(const std::string& path);

// The name in front of such an ending, nothing when `name` ends in any other way.
std::optional<std::string_view> name_before_temporary(std::string_view name);

}  // namespace rebased
