#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/error.h"

namespace rebased {
namespace {

struct Input {
  FileDescriptor fd;
  struct stat info;
};

// Comes back at once whatever the path leads to, even to a pipe that nobody has opened for writing.
Input open_input(const std::string& path) {
  Input input{FileDescriptor(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, "open"), {}};
  if (::fstat(input.fd.get(), &input.info) != 0) fail_errno(path, "inspect");
  return input;
}

[[noreturn]] void refuse_kind(const std::string& path, mode_t mode) {
  const char* kind = S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : "a device";
  throw IoError("{}: expected a file, found {}", path, kind);
}

void wait_for_bytes(const FileDescriptor& fd, const std::string& path) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags == -1 || ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK) == -1) fail_errno(path, "inspect");
}

void write_all(const FileDescriptor& fd, const std::string& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_errno(path, "write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

// Where to write when `path` is asked for.
std::string replaceable_file(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    throw IoError("{}: cannot replace: expected a file, found a folder or a device", path);
  }
  return follow_links(path);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  const auto [fd, info] = open_input(path);
  if (!S_ISREG(info.st_mode)) refuse_kind(path, info.st_mode);
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile({}));
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) fail_errno(path, "map");
  return std::shared_ptr<const MappedFile>(new MappedFile({static_cast<const std::byte*>(data), size}));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void release_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t begin = (from + page - 1) / page * page, end = (from + bytes.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string read_file(const std::string& path) {
  const auto [fd, info] = open_input(path);
  const bool pipe = S_ISFIFO(info.st_mode);
  if (!S_ISREG(info.st_mode)) {
    if (!pipe && ::isatty(fd.get()) == 0) refuse_kind(path, info.st_mode);
    wait_for_bytes(fd, path);
  }
  std::string bytes;
  size_t size = 0;
  while (true) {
    if (size == bytes.size()) bytes.resize(std::max<size_t>(1 << 16, 2 * size));
    const ssize_t got = ::read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(path, "read");
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (pipe && size == 0)
    throw IoError("{}: nothing came out of this pipe: nobody writes to it, or it was read before", path);
  bytes.resize(size);
  return bytes;
}

std::string read_request(const std::string& path) {
  try {
    return read_file(path);
  } catch (const IoError& error) {
    throw ConfigError(std::string(error.what()));
  }
}

AtomicFile::AtomicFile(const std::string& path)
    : path_(replaceable_file(path)),
      temporary_(temporary_name(path_)),
      fd_(temporary_, O_WRONLY | O_CREAT | O_EXCL, 0666, "create") {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (!fd_.is_open()) throw IoError("{}: cannot write after commit", path_);
  write_all(fd_, temporary_, bytes);
}

void AtomicFile::commit() {
  if (!fd_.is_open()) throw IoError("{}: cannot commit twice", path_);
  if (::fsync(fd_.get()) != 0) fail_errno(temporary_, "sync");
  fd_.close(temporary_);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno(path_, "replace");
  temporary_.clear();
  sync_folder(folder_of(path_));
}

void write_file_atomic(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void append_to_file(const std::string& path, std::string_view bytes) {
  const FileDescriptor fd(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, 0666, "open");
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail_errno(path, "inspect");
  if (!S_ISREG(info.st_mode)) refuse_kind(path, info.st_mode);
  write_all(fd, path, std::as_bytes(std::span(bytes)));
}

uint64_t xxh64(std::span<const std::byte> bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

uint64_t xxh64_of_file(const std::string& path) { return xxh64(MappedFile::open(path)->bytes()); }

}  // namespace rebased
