#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace rebased {

// Memory that is handed back and reused instead of returned to the system: after the first tokens a generation
// allocates nothing. Blocks are those of allocate_large and their contents are whatever the last user left.
// Thread-safe.
class Arena : public std::enable_shared_from_this<Arena> {
 public:
  static std::shared_ptr<Arena> create() { return std::shared_ptr<Arena>(new Arena); }
  ~Arena();
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

  Arena() = default;
  void release(Block block);

  mutable std::mutex mutex_;
  std::vector<Block> free_;  // ascending by size
  size_t reserved_ = 0;
};

}  // namespace rebased
