#pragma once

#include <algorithm>
#include <cstdint>

namespace rebased::kernels::cpu {

// `count` lines of memory from `at` on.
struct Lines {
  static constexpr int64_t kFloats = 16;
  const float* at = nullptr;
  int64_t count = 0;
  // Always inline: GCC takes a call that only prefetches for one without effect.
  __attribute__((always_inline)) void fetch(int64_t i) const { __builtin_prefetch(at + i * kFloats, 0, 2); }
};

// Runs of memory that a computation will touch later, handed out a few lines at a time for it to fetch meanwhile: all
// at once would wait for memory.
class LineStream {
 public:
  void clear() { first_ = last_ = 0; }
  void add(const float* from, int64_t floats) {
    runs_[last_++] = {from, (floats + Lines::kFloats - 1) / Lines::kFloats};
  }

  Lines take(int64_t most) {
    while (first_ < last_ && runs_[first_].count == 0) ++first_;
    if (first_ == last_) return {};
    Lines& run = runs_[first_];
    const Lines taken{run.at, std::min(most, run.count)};
    run.at += taken.count * Lines::kFloats, run.count -= taken.count;
    return taken;
  }

 private:
  static constexpr int kMost = 8;

  Lines runs_[kMost];
  int first_ = 0, last_ = 0;
};

// Where a computation takes its lines from.
struct NoLines {};
inline Lines take_lines(NoLines /*source*/, int64_t /*most*/) { return {}; }
inline Lines take_lines(LineStream* source, int64_t most) { return source->take(most); }

}  // namespace rebased::kernels::cpu
