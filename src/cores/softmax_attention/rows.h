#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cores/softmax_attention/kernel.h"
#include "hwy/base.h"

// Blocks of queries and what they see, for the forward and the gradient kernel of softmax attention.
namespace rebased::kernels::cpu::softmax {

using Args = SoftmaxAttentionArgs<float>;

inline constexpr int64_t kQueries = 64;  // rows of a task: queries of the heads that share a key head, heads innermost
inline constexpr int64_t kKeys = 64;     // slots of a step
inline constexpr float kNone = -std::numeric_limits<float>::infinity();

// A block of rows.
struct Rows {
  int64_t b;
  int64_t key_head;
  int64_t first;  // row i of the (batch, key head) is query i / group, head i % group of the group
  int64_t count;
  int64_t earliest, latest;            // positions of its queries
  int64_t first_of_any, first_of_all;  // the earliest position that one of them sees, and that all of them do
};

inline int64_t heads_a_key(const Args& a) { return a.H / a.Hkv; }
inline int64_t row_blocks(const Args& a) { return (a.T * heads_a_key(a) + kQueries - 1) / kQueries; }

// Block `block` of (batch, key head) `item`.
inline Rows rows_of(const Args& a, int64_t item, int64_t block) {
  const int64_t group = heads_a_key(a);
  Rows rows{};
  rows.b = item / a.Hkv;
  rows.key_head = item % a.Hkv;
  rows.first = block * kQueries;
  rows.count = std::min(kQueries, a.T * group - rows.first);
  const int64_t* positions = a.query_pos + rows.b * a.T;
  const int64_t begin = rows.first / group, end = (rows.first + rows.count - 1) / group + 1;
  rows.earliest = *std::min_element(positions + begin, positions + end);
  rows.latest = *std::max_element(positions + begin, positions + end);
  if (a.query_first != nullptr) {
    const int64_t* first = a.query_first + rows.b * a.T;
    rows.first_of_any = *std::min_element(first + begin, first + end);
    rows.first_of_all = *std::max_element(first + begin, first + end);
  } else if (a.window > 0) {
    rows.first_of_any = rows.earliest - a.window + 1;
    rows.first_of_all = rows.latest - a.window + 1;
  }
  return rows;
}

// body(i, query, index) for each row: its query in [B, T] and its own place in [B, T, H].
template <class Body>
HWY_INLINE void for_each_row(const Args& a, const Rows& rows, const Body& body) {
  const int64_t group = heads_a_key(a);
  int64_t query = rows.b * a.T + rows.first / group, head = rows.first % group;
  for (int64_t i = 0; i < rows.count; ++i) {
    body(i, query, query * a.H + rows.key_head * group + head);
    if (++head == group) ++query, head = 0;
  }
}

// The slots of a step.
struct Slots {
  const int64_t* positions;
  int64_t first;  // of [B, S, Hkv]
  int64_t count;
  int64_t held;             // of them hold a key, at these positions:
  int64_t lowest, highest;  // negative where none does
};

// Of a (batch, key head), from slot s0 up to `end`.
inline Slots slots_of(const Args& a, int64_t b, int64_t key_head, int64_t s0, int64_t end) {
  const int64_t at = b * a.S + s0, count = std::min(kKeys, end - s0);
  const int64_t* positions = a.key_pos + at;
  int64_t held = 0, highest = -1;
  uint64_t lowest = std::numeric_limits<uint64_t>::max();  // negative positions are above all others
  for (int64_t s = 0; s < count; ++s) {
    held += positions[s] >= 0;
    lowest = std::min(lowest, static_cast<uint64_t>(positions[s]));
    highest = std::max(highest, positions[s]);
  }
  return {positions, at * a.Hkv + key_head, count, held, static_cast<int64_t>(lowest), highest};
}

enum class Sight { kNothing, kSome, kEverything };

// What the rows see of a step.
inline Sight sight(const Args& a, const Rows& rows, const Slots& slots) {
  if (slots.held == 0) return Sight::kNothing;
  if (!a.additive_mask && (slots.lowest > rows.latest || slots.highest < rows.first_of_any)) return Sight::kNothing;
  const bool all = slots.held == kKeys && slots.highest <= rows.earliest && slots.lowest >= rows.first_of_all;
  return all ? Sight::kEverything : Sight::kSome;
}

}  // namespace rebased::kernels::cpu::softmax
