#include "cores/softmax_attention/kernel.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "cores/softmax_attention/rows.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/softmax_attention/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "cores/softmax_attention/dropout-inl.h"
#include "cores/softmax_attention/mask-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"
#include "kernels/tools/tile-inl.h"
#include "kernels/tools/transpose-inl.h"

#ifndef REBASED_CORES_SOFTMAX_ATTENTION
#define REBASED_CORES_SOFTMAX_ATTENTION
namespace rebased::kernels::cpu {
namespace {

using namespace softmax;  // NOLINT

constexpr int64_t kFewRows = 8;     // below: dot products along the rows of k, no transposed copy
constexpr int64_t kMostBlocks = 8;  // of a task: 4 take 1.10 to 1.17 of the time, 16 0.98 to 1.03 (docs/tuning.md)
constexpr int64_t kMostSplits = 64;
constexpr int64_t kMostLanes = 16;

// How the work is cut. A task is some blocks of rows of one (batch, key head), which share the keys turned and the
// values copied for a step. Where tasks are fewer than threads its slots are split as well, every split in a part of
// its own, and merged at the end.
struct Plan {
  int64_t blocks;  // of a task
  int64_t tasks_a_head;
  int64_t tasks;
  int64_t splits;  // of the slots of a task
  int64_t parts;   // each with its own scratch
  int64_t width;   // Dv rounded up
  int64_t part_size;
};

// The running softmax of rows.
struct State {
  float* q;     // [rows, Dk], scaled
  float* o;     // [rows, width]: sum of weights times values, relative to top
  float* top;   // [rows]
  float* sums;  // [rows, kMostLanes]: of the weights, a lane's slots each
};

// A part's scratch.
struct Part {
  float* keys;    // [Dk, kKeys]
  float* values;  // [kKeys, width]
  float* scores;  // [kQueries, kKeys]
  State state;
};

Part cut_part(const Args& a, const Plan& plan, Scratch& scratch) {
  const int64_t rows = plan.blocks * kQueries;
  Part part;
  part.keys = scratch.take(a.Dk * kKeys);
  part.values = scratch.take(kKeys * plan.width);
  part.scores = scratch.take(kQueries * kKeys);
  part.state.q = scratch.take(rows * a.Dk);
  part.state.o = scratch.take(rows * plan.width);
  part.state.top = scratch.take(rows);
  part.state.sums = scratch.take(rows * kMostLanes);
  return part;
}

// The state of a task's block of rows.
State state_of(const Args& a, const Plan& plan, const Part& part, int64_t block) {
  const State& all = part.state;
  const int64_t row = block * kQueries;
  return {all.q + row * a.Dk, all.o + row * plan.width, all.top + row, all.sums + row * kMostLanes};
}

struct Task {
  int64_t count;  // of blocks
  Rows blocks[kMostBlocks];
};

// The last rows of all heads come first: they see the most.
Task task_of(const Args& a, const Plan& plan, int64_t index) {
  const int64_t heads = a.B * a.Hkv;
  const int64_t first = (plan.tasks_a_head - 1 - index / heads) * plan.blocks;
  Task task{};
  task.count = std::min(plan.blocks, row_blocks(a) - first);
  for (int64_t i = 0; i < task.count; ++i) task.blocks[i] = rows_of(a, index % heads, first + i);
  return task;
}

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

static_assert(kMostLanes >= kMaxLanes);

// Rows of one head lie far apart, where the hardware does not look ahead. Inlined like its callers: g++ removes calls
// of functions that only prefetch.
HWY_INLINE void prefetch_row(const float* row, int64_t n) {
  for (int64_t c = 0; c < n; c += 16) hwy::Prefetch(row + c);
}

void load_queries(const Args& a, const Plan& plan, const Rows& rows, const State& state) {
  const int64_t count = round_up(rows.count, kTileRows);
  std::fill_n(state.q + rows.count * a.Dk, (count - rows.count) * a.Dk, 0.0f);
  const Vec scale = hn::Set(Tag(), static_cast<float>(a.scale));
  for_each_row(a, rows, [&](int64_t, int64_t, int64_t row) HWY_ATTR { prefetch_row(a.q + row * a.Dk, a.Dk); });
  for_each_row(a, rows, [&](int64_t i, int64_t, int64_t row) HWY_ATTR {
    for_each_vector(a.Dk, [&](int64_t c, auto at) HWY_ATTR {
      at.store(hn::Mul(scale, at.load(a.q + row * a.Dk + c)), state.q + i * a.Dk + c);
    });
  });
  std::fill_n(state.o, count * plan.width, 0.0f);
  std::fill_n(state.top, count, kNone);
  std::fill_n(state.sums, count * kMostLanes, 0.0f);
}

// keys[c, s] = k_s[c], zeros behind the last slot.
void turn_keys(const Args& a, const Slots& slots, float* keys) {
  if (slots.count < kKeys) std::fill_n(keys, a.Dk * kKeys, 0.0f);
  transpose_any(slots.count, a.Dk, a.k + slots.first * a.Dk, a.Hkv * a.Dk, keys, kKeys);
}

// A dense copy, zeros where nothing is held, which may be anything. Rows of one head, kilobytes apart, share few sets
// of the first cache.
void copy_values(const Args& a, const Plan& plan, const Slots& slots, float* values) {
  const float* v = a.v + slots.first * a.Dv;
  for (int64_t s = 0; s < slots.count; ++s, v += a.Hkv * a.Dv, values += plan.width) {
    const int64_t held = slots.positions[s] >= 0 ? a.Dv : 0;
    for_each_vector(held, [&](int64_t c, auto at) HWY_ATTR { hn::StoreU(at.load(v + c), Tag(), values + c); });
    for (int64_t c = round_up(held, lane_count()); c < plan.width; c += lane_count()) {
      hn::StoreU(hn::Zero(Tag()), Tag(), values + c);
    }
  }
}

// The maximum of row i becomes `top`, and what it has summed relative to that.
HWY_NOINLINE void raise_top(const Plan& plan, const State& state, int64_t i, float top) {
  const Tag d;
  const Vec shrink = exp_weight(d, hn::Set(d, state.top[i] - top));
  float *o = state.o + i * plan.width, *sums = state.sums + i * kMostLanes;
  for (int64_t c = 0; c < plan.width; c += lane_count()) hn::StoreU(hn::Mul(shrink, hn::LoadU(d, o + c)), d, o + c);
  hn::StoreU(hn::Mul(shrink, hn::LoadU(d, sums)), d, sums);
  state.top[i] = top;
}

// A row that has seen nothing yet, or only NaN, which a maximum may lose.
void weigh_nothing(float* scores, float* sums) {
  if (std::any_of(scores, scores + kKeys, [](float score) { return std::isnan(score); })) sums[0] = std::nanf("");
  std::fill_n(scores, kKeys, 0.0f);
}

// A row's scores -> weights relative to its maximum, which is one of some earlier time as long as none exceeds it by
// more than kTopSlack.
HWY_INLINE void weigh_row(const Plan& plan, const State& state, int64_t i, float* scores) {
  constexpr int kAtOnce = 4;
  const Tag d;
  Vec highest = hn::LoadU(d, scores);
  for (int64_t s = lane_count(); s < kKeys; s += lane_count()) highest = hn::Max(highest, hn::LoadU(d, scores + s));
  if (!hn::AllFalse(d, hn::Gt(highest, hn::Set(d, state.top[i] + kTopSlack)))) {
    raise_top(plan, state, i, max_lanes(highest));
  }
  float* sums = state.sums + i * kMostLanes;
  if (state.top[i] == kNone) return weigh_nothing(scores, sums);
  const Vec top = hn::Set(d, state.top[i]);
  Vec sum = hn::LoadU(d, sums);
  for (int64_t s = 0; s < kKeys; s += kAtOnce * lane_count()) {
    Vec e[kAtOnce];
    for (int j = 0; j < kAtOnce; ++j) e[j] = hn::Sub(hn::LoadU(d, scores + s + j * lane_count()), top);
    exp_weights(d, e);
    for (int j = 0; j < kAtOnce; ++j) sum = hn::Add(sum, e[j]);
    for (int j = 0; j < kAtOnce; ++j) hn::StoreU(e[j], d, scores + s + j * lane_count());
  }
  hn::StoreU(sum, d, sums);
}

void weigh_slots(const Plan& plan, int64_t rows, const State& state, float* scores) {
  for (int64_t i = 0; i < rows; ++i) weigh_row(plan, state, i, scores + i * kKeys);
}

// A share of the slots behind a step's, of which as many as `left` follow: `part` of `parts`.
HWY_INLINE void prefetch_next(const Args& a, const Slots& slots, int64_t left, int64_t part, int64_t parts) {
  const int64_t next = std::min(kKeys, left);
  for (int64_t s = next * part / parts; s < next * (part + 1) / parts; ++s) {
    const int64_t slot = slots.first + (slots.count + s) * a.Hkv;
    prefetch_row(a.k + slot * a.Dk, a.Dk);
    prefetch_row(a.v + slot * a.Dv, a.Dv);
  }
}

// Of a step's slots as many as reach the last that rows [first, first + count) of a block may see.
HWY_INLINE int64_t slots_seen(const Args& a, const Rows& rows, const Slots& slots, int64_t first, int64_t count) {
  if (a.additive_mask) return slots.count;
  const int64_t group = heads_a_key(a), *positions = a.query_pos + rows.b * a.T;
  const int64_t begin = (rows.first + first) / group, end = (rows.first + first + count - 1) / group + 1;
  const int64_t latest = *std::max_element(positions + begin, positions + end);
  int64_t seen = slots.count;
  while (seen > 0 && (slots.positions[seen - 1] < 0 || slots.positions[seen - 1] > latest)) --seen;
  return seen;
}

// Calls body(first row, rows, slots) for pieces of a block: the whole of it where every row sees every slot, else a few
// rows with the slots up to the last one that they see.
template <class Body>
HWY_INLINE void for_each_piece(const Args& a, const Rows& rows, const Slots& slots, Sight seen, const Body& body) {
  constexpr int64_t kPiece = 2 * kTileRows;
  if (seen == Sight::kEverything) return body(0, round_up(rows.count, kTileRows), slots.count);
  for (int64_t i = 0; i < rows.count; i += kPiece) {
    const int64_t count = std::min(kPiece, rows.count - i);
    body(i, round_up(count, kTileRows), slots_seen(a, rows, slots, i, count));
  }
}

// A step for many rows, with as many slots `left` behind it: the keys turned, the values copied, two products a block.
void add_slots(const Args& a, const Plan& plan, const Task& task, const Part& part, const Slots& slots, int64_t left) {
  bool ready = false;
  for (int64_t block = 0; block < task.count; ++block) {
    const Rows& rows = task.blocks[block];
    const Sight seen = sight(a, rows, slots);
    if (seen == Sight::kNothing) continue;
    if (!ready) {
      turn_keys(a, slots, part.keys);
      copy_values(a, plan, slots, part.values);
      ready = true;
    }
    prefetch_next(a, slots, left, block, task.count);
    const State state = state_of(a, plan, part, block);
    for_each_piece(a, rows, slots, seen, [&](int64_t i, int64_t count, int64_t n) HWY_ATTR {
      multiply(count, round_up(n, lane_count()), a.Dk, {state.q + i * a.Dk, a.Dk, 1}, part.keys, kKeys, false,
               part.scores + i * kKeys, kKeys);
    });
    if (seen == Sight::kSome) mask_slots(a, rows, part.scores, slots);
    weigh_slots(plan, rows.count, state, part.scores);
    if (a.dropout > 0) drop_slots(a, rows, part.scores, slots);
    for_each_piece(a, rows, slots, seen, [&](int64_t i, int64_t count, int64_t n) HWY_ATTR {
      multiply(count, plan.width, n, {part.scores + i * kKeys, kKeys, 1}, part.values, plan.width, true,
               state.o + i * plan.width, plan.width);
    });
  }
}

// scores[i, s] = <q_i, k_s> by rows of k; fetches the values v_s on the way.
void score_few(const Args& a, int64_t rows, const Slots& slots, const float* q, float* scores) {
  constexpr int64_t kAhead = 12;
  for (int64_t s = 0; s < slots.count; ++s) {
    const int64_t slot = slots.first + s * a.Hkv;
    if (s + kAhead < slots.count) prefetch_row(a.k + (slot + kAhead * a.Hkv) * a.Dk, a.Dk);
    prefetch_row(a.v + slot * a.Dv, a.Dv);
    for (int64_t i = 0; i < rows; ++i) {
      Vec sum = hn::Zero(Tag());
      for_each_vector(a.Dk, [&](int64_t c, auto at) HWY_ATTR {
        sum = hn::MulAdd(at.load(q + i * a.Dk + c), at.load(a.k + slot * a.Dk + c), sum);
      });
      scores[i * kKeys + s] = sum_lanes(sum);
    }
  }
}

// o[i] += sum_s weights[i, s] v_s; slots that hold nothing are not read, they may be anything.
void add_values_few(const Args& a, const Plan& plan, int64_t rows, const Slots& slots, const float* weights, float* o) {
  const float* v = a.v + slots.first * a.Dv;
  const bool holes = slots.held < slots.count;
  for (int64_t i = 0; i < rows; ++i) {
    for_each_vector(a.Dv, [&](int64_t c, auto at) HWY_ATTR {
      Vec sum = hn::LoadU(Tag(), o + i * plan.width + c);
      for (int64_t s = 0; s < slots.count; ++s) {
        if (holes && slots.positions[s] < 0) continue;
        sum = hn::MulAdd(hn::Set(Tag(), weights[i * kKeys + s]), at.load(v + s * a.Hkv * a.Dv + c), sum);
      }
      hn::StoreU(sum, Tag(), o + i * plan.width + c);
    });
  }
}

// A step for few rows, which reads keys and values where they lie.
void add_slots_few(const Args& a, const Plan& plan, const Rows& rows, const Part& part, const Slots& slots) {
  const Sight seen = sight(a, rows, slots);
  if (seen == Sight::kNothing) return;
  score_few(a, rows.count, slots, part.state.q, part.scores);
  if (seen == Sight::kSome) mask_slots(a, rows, part.scores, slots);
  weigh_slots(plan, rows.count, part.state, part.scores);
  if (a.dropout > 0) drop_slots(a, rows, part.scores, slots);
  add_values_few(a, plan, rows.count, slots, part.scores, part.state.o);
}

// Slots [begin, end) for the rows of a task.
void attend(const Args& a, const Plan& plan, const Task& task, const Part& part, int64_t begin, int64_t end) {
  const Rows& rows = task.blocks[0];
  for (int64_t i = 0; i < task.count; ++i) load_queries(a, plan, task.blocks[i], state_of(a, plan, part, i));
  for (int64_t s0 = begin; s0 < end; s0 += kKeys) {
    const Slots slots = slots_of(a, rows.b, rows.key_head, s0, end);
    rows.count < kFewRows ? add_slots_few(a, plan, rows, part, slots)
                          : add_slots(a, plan, task, part, slots, end - s0 - slots.count);
  }
}

// What brings each split's sums of row i to one maximum, over all weights; returns the log of these, or the mark that
// NaN scores leave where nothing is seen.
float merge_splits(const State* states, int64_t splits, int64_t i, float* factors) {
  float top = kNone, sum = 0;
  for (int64_t k = 0; k < splits; ++k) top = std::max(top, states[k].top[i]);
  for (int64_t k = 0; k < splits; ++k) {
    factors[k] = top == kNone ? 1.0f : std::exp(states[k].top[i] - top);
    sum += factors[k] * sum_lanes(hn::LoadU(Tag(), states[k].sums + i * kMostLanes));
  }
  for (int64_t k = 0; k < splits; ++k) factors[k] = top == kNone ? sum : factors[k] / sum;
  if (top == kNone) return sum == 0 ? kNone : sum;
  return top + std::log(sum);
}

// Writes the rows of a block from the states of its splits.
void store_rows(const Args& a, const Plan& plan, const Rows& rows, const State* states) {
  float factors[kMostSplits];
  for_each_row(a, rows, [&](int64_t, int64_t, int64_t row) HWY_ATTR { prefetch_row(a.o + row * a.Dv, a.Dv); });
  for_each_row(a, rows, [&](int64_t i, int64_t, int64_t row) HWY_ATTR {
    const float lse = merge_splits(states, plan.splits, i, factors);
    if (a.lse != nullptr) a.lse[row] = lse;
    for_each_vector(a.Dv, [&](int64_t c, auto at) HWY_ATTR {
      Vec sum = hn::Zero(Tag());
      for (int64_t k = 0; k < plan.splits; ++k) {
        sum = hn::MulAdd(hn::Set(Tag(), factors[k]), at.load(states[k].o + i * plan.width + c), sum);
      }
      at.store(sum, a.o + row * a.Dv + c);
    });
  });
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(attend);
HWY_EXPORT(store_rows);

Plan make_plan(const Args& a) {
  Plan plan{};
  const int64_t blocks = row_blocks(a), heads = a.B * a.Hkv;
  const int64_t work = a.B * a.T * a.H * a.S * (a.Dk + a.Dv);
  const int64_t threads = work < 65536 ? 1 : thread_count();
  plan.blocks = std::clamp<int64_t>(heads * blocks / (4 * threads), 1, std::clamp<int64_t>(blocks, 1, kMostBlocks));
  plan.tasks_a_head = (blocks + plan.blocks - 1) / plan.blocks;
  plan.tasks = heads * plan.tasks_a_head;
  plan.splits = std::clamp<int64_t>(threads / std::max<int64_t>(1, plan.tasks), 1,
                                    std::clamp<int64_t>(a.S / 256, 1, kMostSplits));
  plan.parts = std::clamp<int64_t>(plan.tasks * plan.splits, 1, threads);
  plan.width = round_up(a.Dv, 16);
  Scratch count(nullptr);
  cut_part(a, plan, count);
  plan.part_size = count.used();
  return plan;
}

// Slots of split k, in whole steps.
int64_t split_bound(const Args& a, const Plan& plan, int64_t k) {
  const int64_t steps = (a.S + kKeys - 1) / kKeys;
  return std::min(a.S, steps * k / plan.splits * kKeys);
}

Part part_at(const Args& a, const Plan& plan, int64_t p) {
  Scratch all(a.scratch);
  Scratch own(all.take(0) + p * plan.part_size);
  return cut_part(a, plan, own);
}

// Every part takes whole tasks until none is left.
void run_tasks(const Args& a, const Plan& plan) {
  std::atomic<int64_t> next{0};
  auto body = [&](int64_t begin, int64_t) {
    const Part part = part_at(a, plan, begin);
    for (int64_t index = next++; index < plan.tasks; index = next++) {
      const Task task = task_of(a, plan, index);
      HWY_DYNAMIC_DISPATCH(attend)(a, plan, task, part, 0, a.S);
      for (int64_t i = 0; i < task.count; ++i) {
        const State state = state_of(a, plan, part, i);
        HWY_DYNAMIC_DISPATCH(store_rows)(a, plan, task.blocks[i], &state);
      }
    }
  };
  parallel_for(plan.parts, 1, std::ref(body));
}

// Every part takes a split of a task, which is one block.
void run_splits(const Args& a, const Plan& plan) {
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t split = p % plan.splits;
      HWY_DYNAMIC_DISPATCH(attend)
      (a, plan, task_of(a, plan, p / plan.splits), part_at(a, plan, p), split_bound(a, plan, split),
       split_bound(a, plan, split + 1));
    }
  };
  parallel_for(plan.parts, 1, std::ref(body));
  for (int64_t index = 0; index < plan.tasks; ++index) {
    State states[kMostSplits];
    for (int64_t k = 0; k < plan.splits; ++k) states[k] = part_at(a, plan, index * plan.splits + k).state;
    HWY_DYNAMIC_DISPATCH(store_rows)(a, plan, task_of(a, plan, index).blocks[0], states);
  }
}

}  // namespace

int64_t softmax_attention_scratch(const Args& a) noexcept {
  const Plan plan = make_plan(a);
  return Scratch::kAlign + plan.parts * plan.part_size;
}

void softmax_attention(const Args& a) noexcept {
  const Plan plan = make_plan(a);
  if (plan.tasks == 0) return;
  plan.splits > 1 ? run_splits(a, plan) : run_tasks(a, plan);
}

}  // namespace rebased::kernels::cpu
#endif
