#include "engine/cpu/arena.h"

#include <algorithm>
#include <utility>

#include "base/large_memory.h"

namespace rebased {
namespace {

constexpr size_t kSmallest = 64;

// Blocks up to a quarter of a slab are cut from one. A sanitizer sees the ends of blocks only where each is allocated.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kSlab = 0;
#else
constexpr size_t kSlab = size_t{1} << 25;
#endif

// Sizes in steps of an eighth of their power of two: little waste, few distinct sizes.
size_t block_size(size_t bytes) {
  size_t step = kSmallest;
  while (step * 16 < bytes) step *= 2;
  return (std::max<size_t>(bytes, 1) + step - 1) / step * step;
}

}  // namespace

void* Arena::allocate(size_t bytes) {
  std::unique_ptr<void, Free> memory(allocate_large(bytes));
  return memory_.emplace_back(std::move(memory)).get();
}

void* Arena::cut(size_t bytes) {
  if (bytes > kSlab / 4) return allocate(bytes);
  if (bytes > slab_left_) {
    slab_ = static_cast<char*>(allocate(kSlab));
    slab_left_ = kSlab;
  }
  slab_left_ -= bytes;
  return std::exchange(slab_, slab_ + bytes);
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
    } else {
      block.data = cut(block.bytes);
      reserved_ += block.bytes;
    }
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
