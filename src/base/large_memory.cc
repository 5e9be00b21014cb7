#include "base/large_memory.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rebased {
namespace {

constexpr size_t kLine = 64, kLargePage = size_t{1} << 21;

}  // namespace

void* allocate_large(size_t bytes) {
  const size_t alignment = bytes >= kLargePage ? kLargePage : kLine;
  const size_t whole = (std::max<size_t>(bytes, 1) + kLine - 1) / kLine * kLine;
  void* data = nullptr;  // of any size, which aligned_alloc does not promise
  if (::posix_memalign(&data, alignment, whole) != 0) throw std::bad_alloc();
#if defined(__linux__)
  // A wish: without such pages the memory is as good.
  if (alignment == kLargePage) ::madvise(data, whole / kLargePage * kLargePage, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace rebased
