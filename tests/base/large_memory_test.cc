#include "base/large_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace rebased {
namespace {

TEST(LargeMemory, LiesOnLinesAndLargePagesAndIsAllThere) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{64}, size_t{1000}, size_t{1} << 21, (size_t{5} << 20) + 3}) {
    void* data = allocate_large(bytes);
    const size_t alignment = bytes >= size_t{1} << 21 ? size_t{1} << 21 : 64;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % alignment, 0U) << bytes;
    std::memset(data, 1, bytes);
    std::free(data);
  }
}

TEST(LargeMemory, ThatNobodyHasIsRefused) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers' allocators end the program instead";
#endif
  EXPECT_THROW(allocate_large(size_t{1} << 62), std::bad_alloc);
}

}  // namespace
}  // namespace rebased
