#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/large_memory.h"
#include "base/rng.h"

namespace rebased {

// On cache lines, as engines allocate.
template <class T>
struct LineAllocator {
  using value_type = T;
  T* allocate(size_t n) { return static_cast<T*>(allocate_large(n * sizeof(T))); }
  void deallocate(T* p, size_t) { std::free(p); }
  bool operator==(const LineAllocator&) const { return true; }
};
using Floats = std::vector<float, LineAllocator<float>>;

inline Floats normal_floats(int64_t n, uint64_t seed) {
  Rng rng(seed);
  Floats values(static_cast<size_t>(n));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

}  // namespace rebased
