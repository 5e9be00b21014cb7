#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace rebased::kernels::cpu {

// `count` lines of memory, fetched one after the other: what is left of a row of lines, then whole rows.
struct Lines {
  static constexpr int64_t kFloats = 16;
  const float* at = nullptr;
  int64_t count = 0;
  int64_t left = 0, row = 0;  // lines of the row at hand and of the others
  int64_t skip = 0;           // floats from the end of a row to the next
  // Always inline: GCC takes a call that only prefetches for one without effect.
  __attribute__((always_inline)) void fetch() {
    __builtin_prefetch(at, 0, 2);
    at += kFloats;
    if (--left > 0) return;
    at += skip;
    left = row;
  }
};

// Memory that a computation will touch later, handed out a few lines at a time for it to fetch meanwhile: all at once
// would wait for memory.
class LineStream {
 public:
  void clear() { first_ = last_ = 0; }
  // Rows of so many floats, `stride` from one to the next.
  void add(const float* from, int64_t rows, int64_t floats, int64_t stride) {
    if (floats == stride) floats *= std::exchange(rows, 1);
    const int64_t lines = (floats + Lines::kFloats - 1) / Lines::kFloats;
    runs_[last_++] = {from, stride, lines, 0, rows * lines};
  }

  Lines take(int64_t most) {
    while (first_ < last_ && runs_[first_].taken == runs_[first_].all) ++first_;
    if (first_ == last_) return {};
    Run& run = runs_[first_];
    const int64_t count = std::min(most, run.all - run.taken), in_row = run.taken % run.row;
    const float* at = run.from + run.taken / run.row * run.stride + in_row * Lines::kFloats;
    run.taken += count;
    return {at, count, run.row - in_row, run.row, run.stride - run.row * Lines::kFloats};
  }

 private:
  static constexpr int kMost = 8;
  struct Run {
    const float* from;
    int64_t stride, row;  // floats from row to row, lines of one
    int64_t taken, all;   // lines
  };

  Run runs_[kMost];
  int first_ = 0, last_ = 0;
};

// Where a computation takes its lines from.
struct NoLines {};
inline Lines take_lines(NoLines /*source*/, int64_t /*most*/) { return {}; }
inline Lines take_lines(LineStream* source, int64_t most) { return source->take(most); }

}  // namespace rebased::kernels::cpu
