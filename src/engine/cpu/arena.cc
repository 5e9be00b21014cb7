#include "engine/cpu/arena.h"

#include <algorithm>
#include <cstdlib>

#include "base/large_memory.h"

namespace rebased {
namespace {

constexpr size_t kSmallest = 64;

// Sizes in steps of an eighth of their power of two: little waste, few distinct sizes.
size_t block_size(size_t bytes) {
  size_t step = kSmallest;
  while (step * 16 < bytes) step *= 2;
  return (std::max<size_t>(bytes, 1) + step - 1) / step * step;
}

}  // namespace

Arena::~Arena() {
  for (Block& block : free_) std::free(block.data);
}

std::shared_ptr<void> Arena::acquire(size_t bytes) {
  Block block{nullptr, block_size(bytes)};
  {
    std::lock_guard lock(mutex_);
    auto fit =
        std::lower_bound(free_.begin(), free_.end(), block.bytes, [](const Block& b, size_t n) { return b.bytes < n; });
    if (fit != free_.end() && fit->bytes <= 2 * block.bytes) {
      block = *fit;
      free_.erase(fit);
    }
  }
  if (block.data == nullptr) {
    block.data = allocate_large(block.bytes);
    std::lock_guard lock(mutex_);
    reserved_ += block.bytes;
  }
  return std::shared_ptr<void>(block.data, [self = shared_from_this(), block](void*) { self->release(block); });
}

void Arena::release(Block block) {
  std::lock_guard lock(mutex_);
  auto place =
      std::lower_bound(free_.begin(), free_.end(), block.bytes, [](const Block& b, size_t n) { return b.bytes < n; });
  free_.insert(place, block);
}

size_t Arena::bytes_reserved() const {
  std::lock_guard lock(mutex_);
  return reserved_;
}

}  // namespace rebased
