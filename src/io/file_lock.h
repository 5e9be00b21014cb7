#pragma once

#include <optional>
#include <string>
#include <utility>

#include "io/system_call.h"

namespace rebased {

// Held by one process at a time, until its owner lets go or its process ends, however that happens. The file is made
// when it is not there, and stays.
class FileLock {
 public:
  static std::optional<FileLock> take(const std::string& path);  // nothing while another holds it; throws IoError

 private:
  explicit FileLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace rebased
