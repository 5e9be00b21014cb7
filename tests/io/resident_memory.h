#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace rebased {

// Bytes of mapped files in this process's memory. Source: proc(5), /proc/pid/statm, "shared".
inline int64_t resident_file_bytes() {
  int64_t size = 0, resident = 0, shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;
  return shared * ::sysconf(_SC_PAGESIZE);
}

}  // namespace rebased
