#pragma once

#include <cstdint>

namespace rebased::kernels::cpu {

inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Cuts a caller's scratch into arrays that start on cache lines; without memory it only counts.
class Scratch {
 public:
  static constexpr int64_t kAlign = 16;  // floats of a cache line; ask the caller for as many more

  explicit Scratch(float* base) : base_(base) {
    const auto off = static_cast<int64_t>(reinterpret_cast<uintptr_t>(base) / sizeof(float) % kAlign);
    if (base_ != nullptr) base_ += (kAlign - off) % kAlign;
  }

  float* take(int64_t n) {
    const int64_t at = used_;
    used_ += round_up(n, kAlign);
    return base_ != nullptr ? base_ + at : nullptr;
  }
  int64_t used() const { return used_; }

 private:
  float* base_;
  int64_t used_ = 0;
};

}  // namespace rebased::kernels::cpu
