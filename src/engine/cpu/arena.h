#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

namespace rebased {

// Memory that is handed back and reused instead of returned to the system: after the first tokens a generation
// allocates nothing. Blocks lie on cache lines and, where the system gives them, on pages of 2 MiB (allocate_large),
// which small ones share. Their contents are whatever the last user left. Thread-safe.
class Arena : public std::enable_shared_from_this<Arena> {
 public:
  static std::shared_ptr<Arena> create() { return std::shared_ptr<Arena>(new Arena); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // A block of at least `bytes`; comes back to the arena with its last handle. Throws std::bad_alloc.
  std::shared_ptr<void> acquire(size_t bytes);
  size_t bytes_reserved() const;  // in use and waiting

 private:
  struct Block {
    void* data;
    size_t bytes;
  };

  struct Free {
    void operator()(void* data) const { std::free(data); }
  };

  Arena() = default;
  void* cut(size_t bytes);  // memory that was never handed out; the caller holds the lock
  void* allocate(size_t bytes);
  void release(Block block);

  mutable std::mutex mutex_;
  std::vector<Block> free_;  // ascending by size
  std::vector<std::unique_ptr<void, Free>> memory_;
  char* slab_ = nullptr;  // what is left of one
  size_t slab_left_ = 0;
  size_t reserved_ = 0;
};

}  // namespace rebased
