#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/softmax_attention.h"

// Blocks of queries and what they see, for the forward and the gradient kernel of softmax attention.
namespace rebased::kernels::cpu::softmax {

using Args = SoftmaxAttentionArgs<float>;

inline constexpr int64_t kQueries = 64;  // rows of a task: queries of the heads that share a key head, heads innermost
inline constexpr int64_t kKeys = 64;     // slots of a step
inline constexpr float kNone = -std::numeric_limits<float>::infinity();

// The rows of a task.
struct Rows {
  int64_t b;
  int64_t key_head;
  int64_t first;  // row i of the (batch, key head) is query i / group, head i % group of the group
  int64_t count;
  int64_t earliest, latest;  // positions of its queries
};

inline int64_t heads_a_key(const Args& a) { return a.H / a.Hkv; }
inline int64_t row_blocks(const Args& a) { return (a.T * heads_a_key(a) + kQueries - 1) / kQueries; }

inline Rows rows_of(const Args& a, int64_t task) {
  const int64_t group = heads_a_key(a), blocks = row_blocks(a);
  Rows rows{};
  rows.b = task / blocks / a.Hkv;
  rows.key_head = task / blocks % a.Hkv;
  rows.first = task % blocks * kQueries;
  rows.count = std::min(kQueries, a.T * group - rows.first);
  const int64_t* positions = a.query_pos + rows.b * a.T;
  const int64_t begin = rows.first / group, end = (rows.first + rows.count - 1) / group + 1;
  rows.earliest = *std::min_element(positions + begin, positions + end);
  rows.latest = *std::max_element(positions + begin, positions + end);
  return rows;
}

// Offset of row i in [T, H] rows.
inline int64_t row_index(const Args& a, const Rows& rows, int64_t i) {
  const int64_t row = rows.first + i, group = heads_a_key(a);
  return (rows.b * a.T + row / group) * a.H + rows.key_head * group + row % group;
}

enum class Sight { kNothing, kSome, kEverything };

// What the rows see of the slots with these positions.
inline Sight sight(const Args& a, const Rows& rows, const int64_t* positions, int64_t count) {
  int64_t lowest = std::numeric_limits<int64_t>::max(), highest = -1, held = 0;
  for (int64_t s = 0; s < count; ++s) {
    if (positions[s] < 0) continue;
    ++held;
    lowest = std::min(lowest, positions[s]);
    highest = std::max(highest, positions[s]);
  }
  if (held == 0) return Sight::kNothing;
  const bool windowed = a.window > 0;
  if (!a.additive_mask && (lowest > rows.latest || (windowed && highest <= rows.earliest - a.window))) {
    return Sight::kNothing;
  }
  const bool all = held == count && highest <= rows.earliest && (!windowed || lowest > rows.latest - a.window);
  return all ? Sight::kEverything : Sight::kSome;
}

// scores [count of rows, kKeys] of slots with these positions: minus infinity, or far below, where they are hidden.
inline void mask_slots(const Args& a, const Rows& rows, float* scores, const int64_t* positions, int64_t count) {
  for (int64_t i = 0; i < rows.count; ++i, scores += kKeys) {
    const int64_t query = a.query_pos[rows.b * a.T + (rows.first + i) / heads_a_key(a)];
    const int64_t oldest = a.window > 0 ? query - a.window : -1;
    for (int64_t s = 0; s < count; ++s) {
      const int64_t key = positions[s];
      if (key >= 0 && key <= query && key > oldest) continue;
      scores[s] = key >= 0 && a.additive_mask ? scores[s] - 10000.0f : kNone;
    }
  }
}

}  // namespace rebased::kernels::cpu::softmax
