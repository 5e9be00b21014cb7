#include "kernels/softmax_attention.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/softmax_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_attention.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"
#include "kernels/cpu/tile-inl.h"
#include "kernels/cpu/transpose-inl.h"

#ifndef REBASED_KERNELS_CPU_SOFTMAX_ATTENTION
#define REBASED_KERNELS_CPU_SOFTMAX_ATTENTION
namespace rebased::kernels::cpu {
namespace {

using namespace softmax;  // NOLINT

constexpr int64_t kFewRows = 8;  // below: dot products along the rows of k, no transposed copy
constexpr int64_t kMostSplits = 64;
constexpr int64_t kMostLanes = 16;

// How the work is cut. A task is a block of rows of one (batch, key head). Where tasks are fewer than threads its slots
// are split as well, every split in a part of its own, and merged at the end.
struct Plan {
  int64_t tasks;
  int64_t splits;  // of the slots of a task
  int64_t parts;   // each with its own scratch
  int64_t width;   // Dv rounded up
  int64_t part_size;
};

// A part's scratch, and the running softmax of its rows.
struct Part {
  float* q;       // [kQueries, Dk], scaled
  float* keys;    // [Dk, kKeys]
  float* values;  // [kKeys, width]
  float* scores;  // [kQueries, kKeys]
  float* o;       // [kQueries, width]: sum of weights times values, relative to top
  float* top;     // [kQueries]
  float* sums;    // [kQueries, kMostLanes]: of the weights, a lane's slots each, while slots are added
  float* sum;     // [kQueries]: of all of them, at the end
};

Part cut_part(const Args& a, const Plan& plan, Scratch& scratch) {
  Part part;
  part.q = scratch.take(kQueries * a.Dk);
  part.keys = scratch.take(a.Dk * kKeys);
  part.values = scratch.take(kKeys * plan.width);
  part.scores = scratch.take(kQueries * kKeys);
  part.o = scratch.take(kQueries * plan.width);
  part.top = scratch.take(kQueries);
  part.sums = scratch.take(kQueries * kMostLanes);
  part.sum = scratch.take(kQueries);
  return part;
}

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

static_assert(kMostLanes >= kMaxLanes);

void load_queries(const Args& a, const Plan& plan, const Rows& rows, const Part& part) {
  std::fill_n(part.q, kQueries * a.Dk, 0.0f);
  const Vec scale = hn::Set(Tag(), static_cast<float>(a.scale));
  for (int64_t i = 0; i < rows.count; ++i) {
    const float* q = a.q + row_index(a, rows, i) * a.Dk;
    for_each_vector(
        a.Dk, [&](int64_t c, auto at) HWY_ATTR { at.store(hn::Mul(scale, at.load(q + c)), part.q + i * a.Dk + c); });
  }
  std::fill_n(part.o, kQueries * plan.width, 0.0f);
  std::fill_n(part.top, kQueries, kNone);
  std::fill_n(part.sums, kQueries * kMostLanes, 0.0f);
}

// Rows of one head lie far apart, where the hardware does not look ahead.
HWY_INLINE void prefetch_row(const float* row, int64_t n) {
  for (int64_t c = 0; c < n; c += 16) hwy::Prefetch(row + c);
}

// keys[c, s] = k_s[c], zeros behind the last slot.
void transpose_keys(const Args& a, const Part& part, const float* k, int64_t count) {
  const int64_t stride = a.Hkv * a.Dk;
  if (count == kKeys && a.Dk % 4 == 0) return transpose(count, a.Dk, k, stride, part.keys, kKeys);
  for (int64_t s = 0; s < kKeys; ++s) {
    for (int64_t c = 0; c < a.Dk; ++c) part.keys[c * kKeys + s] = s < count ? k[s * stride + c] : 0.0f;
  }
}

// scores[i, s] = <q_i, k_s>; fetches the values v_s on the way.
void score_slots(const Args& a, const Rows& rows, const Part& part, const float* k, const float* v, int64_t count) {
  constexpr int64_t kAhead = 12;
  if (rows.count >= kFewRows) {
    transpose_keys(a, part, k, count);
    multiply(round_up(rows.count, kTileRows), kKeys, a.Dk, {part.q, a.Dk, 1}, part.keys, kKeys, false, part.scores,
             kKeys);
    return;
  }
  for (int64_t s = 0; s < count; ++s) {
    const float* row = k + s * a.Hkv * a.Dk;
    if (s + kAhead < count) prefetch_row(row + kAhead * a.Hkv * a.Dk, a.Dk);
    prefetch_row(v + s * a.Hkv * a.Dv, a.Dv);
    for (int64_t i = 0; i < rows.count; ++i) {
      Vec sum = hn::Zero(Tag());
      for_each_vector(a.Dk, [&](int64_t c, auto at)
                                HWY_ATTR { sum = hn::MulAdd(at.load(part.q + i * a.Dk + c), at.load(row + c), sum); });
      part.scores[i * kKeys + s] = sum_lanes(sum);
    }
  }
}

HWY_INLINE float highest_score(const float* scores) {
  const Tag d;
  Vec tops = hn::LoadU(d, scores);
  for (int64_t s = lane_count(); s < kKeys; s += lane_count()) tops = hn::Max(tops, hn::LoadU(d, scores + s));
  return max_lanes(tops);
}

// Running maxima rise to these scores; returns in shrink[i] what brings row i's sums to its new one.
void raise_tops(const Part& part, const float* highest, float* shrink) {
  const Tag d;
  const Vec one = hn::Set(d, 1.0f);
  for (int64_t i = 0; i < kQueries; i += lane_count()) {
    const Vec old = hn::LoadU(d, part.top + i), top = hn::Max(old, hn::LoadU(d, highest + i));
    hn::StoreU(hn::IfThenElse(hn::Gt(top, old), exp_weight(d, hn::Sub(old, top)), one), d, shrink + i);
    hn::StoreU(hn::IfThenElse(hn::Gt(top, old), top, old), d, part.top + i);
  }
}

// A row's scores -> weights relative to its maximum.
HWY_INLINE void weigh_row(const Plan& plan, const Part& part, int64_t i, float shrink) {
  const Tag d;
  const Vec factor = hn::Set(d, shrink);
  float *scores = part.scores + i * kKeys, *o = part.o + i * plan.width, *sums = part.sums + i * kMostLanes;
  Vec sum = hn::Mul(factor, hn::LoadU(d, sums));
  for (int64_t c = 0; shrink != 1 && c < plan.width; c += lane_count()) {
    hn::StoreU(hn::Mul(factor, hn::LoadU(d, o + c)), d, o + c);
  }
  const Vec shift = hn::Set(d, part.top[i]);
  for (int64_t s = 0; s < kKeys; s += lane_count()) {
    const Vec e = exp_weight(d, hn::Sub(hn::LoadU(d, scores + s), shift));
    sum = hn::Add(sum, e);
    hn::StoreU(e, d, scores + s);
  }
  hn::StoreU(sum, d, sums);
}

// A row that has seen nothing yet, or only NaN, which a maximum may lose.
void weigh_nothing(const Part& part, int64_t i, int64_t count) {
  float* scores = part.scores + i * kKeys;
  if (std::any_of(scores, scores + count, [](float score) { return std::isnan(score); })) {
    part.sums[i * kMostLanes] = std::nanf("");
  }
  std::fill_n(scores, kKeys, 0.0f);
}

// Scores -> weights relative to the running maxima, which rise first where they must.
void weigh_slots(const Plan& plan, const Rows& rows, const Part& part, int64_t count) {
  HWY_ALIGN float highest[kQueries], shrink[kQueries];
  std::fill_n(highest, kQueries, kNone);
  for (int64_t i = 0; i < rows.count; ++i) {
    std::fill(part.scores + i * kKeys + count, part.scores + (i + 1) * kKeys, kNone);
    highest[i] = highest_score(part.scores + i * kKeys);
  }
  raise_tops(part, highest, shrink);
  for (int64_t i = 0; i < rows.count; ++i) {
    part.top[i] == kNone ? weigh_nothing(part, i, count) : weigh_row(plan, part, i, shrink[i]);
  }
}

// o[i] += sum_s weights[i, s] v_s; slots that hold nothing are not read, they may be anything. Many rows read a dense
// copy of the values: rows of one head, kilobytes apart, share few sets of the first cache.
void add_values(const Args& a, const Plan& plan, const Rows& rows, const Part& part, const float* v,
                const int64_t* positions, int64_t count, bool holes) {
  const int64_t stride = a.Hkv * a.Dv;
  if (rows.count >= kFewRows) {
    for (int64_t s = 0; s < count; ++s) {
      float* row = part.values + s * plan.width;
      const int64_t held = positions[s] >= 0 ? a.Dv : 0;
      std::fill(std::copy_n(v + s * stride, held, row), row + plan.width, 0.0f);
    }
    multiply(round_up(rows.count, kTileRows), plan.width, count, {part.scores, kKeys, 1}, part.values, plan.width, true,
             part.o, plan.width);
    return;
  }
  for (int64_t i = 0; i < rows.count; ++i) {
    for_each_vector(a.Dv, [&](int64_t c, auto at) HWY_ATTR {
      Vec sum = hn::LoadU(Tag(), part.o + i * plan.width + c);
      for (int64_t s = 0; s < count; ++s) {
        if (holes && positions[s] < 0) continue;
        sum = hn::MulAdd(hn::Set(Tag(), part.scores[i * kKeys + s]), at.load(v + s * stride + c), sum);
      }
      hn::StoreU(sum, Tag(), part.o + i * plan.width + c);
    });
  }
}

// Slots [begin, end) for the rows of a task.
void attend(const Args& a, const Plan& plan, const Rows& rows, const Part& part, int64_t begin, int64_t end) {
  load_queries(a, plan, rows, part);
  for (int64_t s0 = begin; s0 < end; s0 += kKeys) {
    const int64_t count = std::min(kKeys, end - s0);
    const int64_t* positions = a.key_pos + rows.b * a.S + s0;
    const Sight seen = sight(a, rows, positions, count);
    if (seen == Sight::kNothing) continue;
    const int64_t slot = (rows.b * a.S + s0) * a.Hkv + rows.key_head;
    score_slots(a, rows, part, a.k + slot * a.Dk, a.v + slot * a.Dv, count);
    if (seen == Sight::kSome) mask_slots(a, rows, part.scores, positions, count);
    weigh_slots(plan, rows, part, count);
    add_values(a, plan, rows, part, a.v + slot * a.Dv, positions, count, seen == Sight::kSome);
  }
  for (int64_t i = 0; i < rows.count; ++i) part.sum[i] = sum_lanes(hn::LoadU(Tag(), part.sums + i * kMostLanes));
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(attend);

Plan make_plan(const Args& a) {
  Plan plan{};
  plan.tasks = a.B * a.Hkv * row_blocks(a);
  const int64_t work = a.B * a.T * a.H * a.S * (a.Dk + a.Dv);
  const int64_t threads = work < 65536 ? 1 : thread_count();
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

// Brings the splits' running sums to one maximum, in parts[0], and writes the rows.
void store_rows(const Args& a, const Plan& plan, const Rows& rows, const Part* parts) {
  for (int64_t i = 0; i < rows.count; ++i) {
    float top = kNone;
    for (int64_t k = 0; k < plan.splits; ++k) top = std::max(top, parts[k].top[i]);
    float* o = a.o + row_index(a, rows, i) * a.Dv;
    std::fill_n(o, a.Dv, 0.0f);
    float* lse = a.lse != nullptr ? a.lse + row_index(a, rows, i) : nullptr;
    float sum = 0;
    if (top == kNone) {  // nothing seen; NaN scores leave their mark in the sum alone
      for (int64_t k = 0; k < plan.splits; ++k) sum += parts[k].sum[i];
      std::fill_n(o, a.Dv, sum);
      if (lse != nullptr) *lse = sum == 0 ? kNone : sum;
      continue;
    }
    for (int64_t k = 0; k < plan.splits; ++k) sum += parts[k].sum[i] * std::exp(parts[k].top[i] - top);
    if (lse != nullptr) *lse = top + std::log(sum);
    for (int64_t k = 0; k < plan.splits; ++k) {
      const float factor = std::exp(parts[k].top[i] - top) / sum;
      for (int64_t c = 0; c < a.Dv; ++c) o[c] += factor * parts[k].o[i * plan.width + c];
    }
  }
}

Part part_at(const Args& a, const Plan& plan, int64_t p) {
  Scratch all(a.scratch);
  Scratch own(all.take(0) + p * plan.part_size);
  return cut_part(a, plan, own);
}

// Items p, p + parts, ...: later blocks see more slots, so neighbours go to different threads.
void run_part(const Args& a, const Plan& plan, int64_t p) {
  const Part part = part_at(a, plan, p);
  for (int64_t item = p; item < plan.tasks * plan.splits; item += plan.parts) {
    const Rows rows = rows_of(a, item / plan.splits);
    const int64_t split = item % plan.splits;
    HWY_DYNAMIC_DISPATCH(attend)(a, plan, rows, part, split_bound(a, plan, split), split_bound(a, plan, split + 1));
    if (plan.splits == 1) store_rows(a, plan, rows, &part);
  }
}

}  // namespace

int64_t softmax_attention_scratch(const Args& a) noexcept {
  const Plan plan = make_plan(a);
  return Scratch::kAlign + plan.parts * plan.part_size;
}

void softmax_attention(const Args& a) noexcept {
  const Plan plan = make_plan(a);
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) run_part(a, plan, p);
  };
  if (plan.tasks == 0) return;
  parallel_for(plan.parts, 1, std::ref(body));
  for (int64_t task = 0; plan.splits > 1 && task < plan.tasks; ++task) {
    Part parts[kMostSplits];
    for (int64_t k = 0; k < plan.splits; ++k) parts[k] = part_at(a, plan, task * plan.splits + k);
    store_rows(a, plan, rows_of(a, task), parts);
  }
}

}  // namespace rebased::kernels::cpu
#endif
