#pragma once

#include <cstddef>

namespace rebased {

// Memory on cache lines, at least `bytes` of it, whose contents are whatever was there; on pages of 2 MiB where it is
// as large as one and the system gives them to who asks: a core then reads up to twice as fast, since it looks up fewer
// addresses. Handed back by std::free. Throws std::bad_alloc.
void* allocate_large(size_t bytes);

}  // namespace rebased
