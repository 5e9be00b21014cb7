#include "base/memory.h"

#include <unistd.h>

#include "base/error.h"

namespace rebased {

int64_t machine_memory() {
  const int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
  return pages > 0 && page > 0 ? pages * page : kAddressSpace;
}

void check_memory(double bytes, std::string_view what, int64_t limit) {
  const auto most = static_cast<double>(limit);
  if (bytes <= most) return;
  throw ConfigError("{} would take {:.1f} GB, more than the {:.1f} GB that there are", what, bytes * 1e-9, most * 1e-9);
}

}  // namespace rebased
