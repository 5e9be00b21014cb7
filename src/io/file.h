#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/system_call.h"

namespace rebased {

// The bytes of a regular file, mapped read-only and kept until the last owner lets go. Shortening the file meanwhile
// makes reads beyond its new end fatal; files written by AtomicFile are replaced, never shortened.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::string& path);  // throws IoError
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

// Takes the whole pages among `bytes` of a MappedFile out of the process's memory; reading them brings them back.
void release_pages(std::span<const std::byte> bytes);

// All bytes of a regular file, of a pipe that somebody has opened for writing, or of a terminal. Throws IoError.
std::string read_file(const std::string& path);

// The same for a document that says what to do: a recipe, a list of tasks, a configuration. Where it cannot be read,
// something else was asked for than meant: throws ConfigError, whatever the reason.
std::string read_request(const std::string& path);

// A file that appears at `path` complete or not at all, whatever happens: it grows under a temporary name in the same
// folder and takes its name in commit(), after its bytes have reached the disk. Without commit() nothing is left
// behind, unless the process is killed: then PATH.rebased-tmp-* stays. Where `path` is a symbolic link, what it names
// is written. All functions throw IoError; what is neither absent nor a regular file is refused.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);  // unbuffered
  void write(std::string_view bytes) { write(std::as_bytes(std::span(bytes))); }
  void commit();  // once, last

 private:
  std::string path_;
  std::string temporary_;
  FileDescriptor fd_;
};

void write_file_atomic(const std::string& path, std::string_view bytes);  // throws IoError

// Adds to the end of a file, which is made where there is none. Throws IoError, also where the path leads to a pipe or
// a device.
void append_to_file(const std::string& path, std::string_view bytes);

uint64_t xxh64(std::span<const std::byte> bytes);  // XXH64 with seed 0
uint64_t xxh64_of_file(const std::string& path);   // throws IoError

}  // namespace rebased
