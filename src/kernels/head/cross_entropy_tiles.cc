#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "kernels/head/cross_entropy_plan.h"
#include "kernels/tools/parts.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/head/cross_entropy_tiles.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"
#include "kernels/tools/tile-inl.h"

#ifndef REBASED_KERNELS_CROSS_ENTROPY_TILES
#define REBASED_KERNELS_CROSS_ENTROPY_TILES
namespace rebased::kernels::cpu {
namespace {

using Args = CrossEntropyArgs<float>;

constexpr int64_t kBlock = 48;  // rows of x that share a sweep, one a vector lane; 96 or more: 1.03 to 1.2 of the time
constexpr int64_t kTile = 120;  // ids of a sweep's step: register tiles of 8 and of 6 rows fill it
constexpr int64_t kRun = 8;     // ids of a tile whose largest logit is kept while it is searched

// Sizes, and the caller's scratch cut up.
struct Plan {
  int64_t width;       // C rounded up to whole vectors
  int64_t tiles;       // of the vocabulary
  int64_t parts;       // of the rows, one a thread
  int64_t part_size;   // scratch of a part
  float* part_memory;  // parts of part_size
};

// A part's scratch. Arrays [.., kBlock] hold one row of x a lane.
struct Part {
  float* x;          // [kBlock, width]
  float* x_t;        // [C, kBlock]
  float* scaled;     // [kBlock, width]: x times what turns a tile's exponentials into gradients
  float* d_x_t;      // [C, kBlock]
  float* highest;    // [kBlock]: the largest logit so far
  float* top;        // [kBlock]: one of some earlier time, to which exponentials are relative
  float* sum;        // [kBlock]: of these
  float* of_label;   // [kBlock]
  float* tile_tops;  // [tiles, kBlock]: what a tile's exponentials are relative to
  float* weights;    // [V, kBlock]: exp(logit - tile_top); one tile when no gradient is wanted
  float* d_e;        // [V, width]
};

Part cut_part(const Args& a, const Plan& plan, Scratch& scratch) {
  const bool gradients = a.d_x != nullptr;
  Part part;
  part.x = scratch.take(kBlock * plan.width);
  part.x_t = scratch.take(a.C * kBlock);
  part.scaled = scratch.take(gradients ? kBlock * plan.width : 0);
  part.d_x_t = scratch.take(gradients ? a.C * kBlock : 0);
  part.highest = scratch.take(kBlock);
  part.top = scratch.take(kBlock);
  part.sum = scratch.take(kBlock);
  part.of_label = scratch.take(kBlock);
  part.tile_tops = scratch.take(gradients ? plan.tiles * kBlock : 0);
  part.weights = scratch.take((gradients ? a.V : kTile) * kBlock);
  part.d_e = scratch.take(gradients ? a.V * plan.width : 0);
  return part;
}

Part part_at(const Args& a, const Plan& plan, int64_t p) {
  Scratch own(plan.part_memory + p * plan.part_size);
  return cut_part(a, plan, own);
}

// The rows of a block and where their best ids are.
struct Rows {
  int64_t first;  // row of x
  int64_t count;  // the lanes behind them hold zeros and add nothing
  int64_t best[kBlock];
};

// Ids of one step of a sweep.
struct Tile {
  int64_t index;
  int64_t first;
  int64_t count;
};

Tile tile_at(const Args& a, int64_t index) { return {index, index * kTile, std::min(kTile, a.V - index * kTile)}; }

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

Rows load_rows(const Args& a, const Plan& plan, const Part& part, int64_t first) {
  Rows rows{first, std::min(kBlock, a.N - first), {}};
  std::fill_n(part.x, kBlock * plan.width, 0.0f);
  std::fill_n(part.x_t, a.C * kBlock, 0.0f);
  for (int64_t r = 0; r < rows.count; ++r) {
    const float* x = a.x + (first + r) * a.C;
    std::copy_n(x, a.C, part.x + r * plan.width);
    for (int64_t c = 0; c < a.C; ++c) part.x_t[c * kBlock + r] = x[c];
  }
  std::fill_n(part.highest, kBlock, -std::numeric_limits<float>::infinity());
  std::fill_n(part.top, kBlock, -std::numeric_limits<float>::infinity());
  std::fill_n(part.sum, kBlock, 0.0f);
  std::fill_n(part.of_label, kBlock, 0.0f);
  if (a.d_x) std::fill_n(part.d_x_t, a.C * kBlock, 0.0f);
  return rows;
}

void note_labels(const Args& a, const Part& part, const Rows& rows, const Tile& tile, const float* logits) {
  for (int64_t r = 0; r < rows.count; ++r) {
    const auto id = static_cast<uint64_t>(a.labels[rows.first + r] - tile.first);
    if (id < static_cast<uint64_t>(tile.count)) part.of_label[r] = logits[static_cast<int64_t>(id) * kBlock + r];
  }
}

// The largest logits of lanes r .. in a tile: of all, and in of_runs[run * kMaxLanes + lane] of every kRun ids.
HWY_INLINE Vec tile_maxima(const Tile& tile, const float* logits, int64_t r, float* of_runs) {
  const Tag d;
  Vec highest = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (int64_t v = 0; v < tile.count; of_runs += kMaxLanes) {
    Vec of_run = hn::LoadU(d, logits + v * kBlock + r);
    for (const int64_t end = std::min(v + kRun, tile.count); ++v < end;) {
      of_run = hn::Max(hn::LoadU(d, logits + v * kBlock + r), of_run);
    }
    hn::StoreU(of_run, d, of_runs);
    highest = hn::Max(of_run, highest);
  }
  return highest;
}

// Notes the ids of lanes r .. whose logits are higher than all before.
HWY_INLINE void note_best(const Part& part, const Tile& tile, const float* logits, int64_t r, Vec highest,
                          const float* of_runs, Rows& rows) {
  const Tag d;
  if (hn::AllFalse(d, hn::Gt(highest, hn::LoadU(d, part.highest + r)))) return;
  float of_tile[kMaxLanes];
  hn::StoreU(highest, d, of_tile);
  for (int64_t lane = 0; lane < lane_count(); ++lane) {
    if (!(of_tile[lane] > part.highest[r + lane])) continue;
    int64_t v = 0;
    while (of_runs[v / kRun * kMaxLanes + lane] != of_tile[lane]) v += kRun;
    while (logits[v * kBlock + r + lane] != of_tile[lane]) ++v;
    rows.best[r + lane] = tile.first + v;
    part.highest[r + lane] = of_tile[lane];
  }
}

// Raises what the exponentials of lanes r .. are relative to where a tile's largest logits exceed it by more than
// kTopSlack, and brings what was summed so far to the new scale.
HWY_INLINE Vec raise_top(const Args& a, const Part& part, int64_t r, Vec highest) {
  const Tag d;
  const Vec old = hn::LoadU(d, part.top + r);
  const auto higher = hn::Gt(highest, hn::Add(old, hn::Set(d, kTopSlack)));
  if (hn::AllFalse(d, higher)) return old;
  const Vec top = hn::IfThenElse(higher, highest, old);
  const Vec shrink = hn::IfThenElse(higher, exp_weight(d, hn::Sub(old, top)), hn::Set(d, 1.0f));
  hn::StoreU(top, d, part.top + r);
  hn::StoreU(hn::Mul(shrink, hn::LoadU(d, part.sum + r)), d, part.sum + r);
  for (int64_t c = 0; a.d_x && c < a.C; ++c) {
    float* d_x = part.d_x_t + c * kBlock + r;
    hn::StoreU(hn::Mul(shrink, hn::LoadU(d, d_x)), d, d_x);
  }
  return top;
}

// Logits of kCount ids and a vector of rows -> exponentials relative to top; returns sum with theirs.
template <int kCount>
HWY_INLINE Vec exponentiate(float* weights, Vec top, Vec sum) {
  const Tag d;
  Vec e[kCount];
  for (int v = 0; v < kCount; ++v) e[v] = hn::Sub(hn::LoadU(d, weights + v * kBlock), top);
  exp_weights(d, e);
  for (int v = 0; v < kCount; ++v) hn::StoreU(e[v], d, weights + v * kBlock);
  for (int v = 0; v < kCount; ++v) sum = hn::Add(sum, e[v]);
  return sum;
}

// Logits of a tile -> exponentials.
HWY_INLINE void exponentiate_tile(const Args& a, const Part& part, const Tile& tile, float* weights, Rows& rows) {
  constexpr int kAtOnce = 4;
  const Tag d;
  float of_runs[kTile / kRun * kMaxLanes];
  for (int64_t r = 0; r < kBlock; r += lane_count()) {
    const Vec highest = tile_maxima(tile, weights, r, of_runs);
    note_best(part, tile, weights, r, highest, of_runs, rows);
    const Vec top = raise_top(a, part, r, highest);
    if (a.d_x) hn::StoreU(top, d, part.tile_tops + tile.index * kBlock + r);
    Vec sum = hn::LoadU(d, part.sum + r);
    int64_t v = 0;
    for (; v + kAtOnce <= tile.count; v += kAtOnce) sum = exponentiate<kAtOnce>(weights + v * kBlock + r, top, sum);
    for (; v < tile.count; ++v) sum = exponentiate<1>(weights + v * kBlock + r, top, sum);
    hn::StoreU(sum, d, part.sum + r);
  }
}

// One sweep over the vocabulary: best ids, sums and, up to a factor of the row, d_x.
void sweep(const Args& a, const Plan& plan, const Part& part, Rows& rows) {
  for (int64_t t = 0; t < plan.tiles; ++t) {
    const Tile tile = tile_at(a, t);
    const float* e = a.e + tile.first * a.C;
    float* weights = part.weights + (a.d_x ? tile.first * kBlock : 0);
    multiply(tile.count, kBlock, a.C, {e, a.C, 1}, part.x_t, kBlock, false, weights, kBlock);
    note_labels(a, part, rows, tile, weights);
    exponentiate_tile(a, part, tile, weights, rows);
    if (!a.d_x) continue;
    multiply(a.C, kBlock, tile.count, {e, 1, a.C}, weights, kBlock, true, part.d_x_t, kBlock);
  }
}

// Writes what belongs to the rows; returns in factors[r] = grad_scale / sum of exponentials.
void finish_rows(const Args& a, const Part& part, const Rows& rows, float* factors) {
  const auto scale = static_cast<float>(a.grad_scale);
  for (int64_t r = 0; r < kBlock; ++r) factors[r] = static_cast<float>(a.grad_scale / part.sum[r]);
  for (int64_t r = 0; r < rows.count; ++r) {
    const int64_t n = rows.first + r;
    a.nll[n] = static_cast<float>(std::log(static_cast<double>(part.sum[r])) + part.top[r] - part.of_label[r]);
    if (a.best) a.best[n] = rows.best[r];
    if (!a.d_x) continue;
    const float* e = a.e + a.labels[n] * a.C;
    for (int64_t c = 0; c < a.C; ++c) {
      a.d_x[n * a.C + c] = part.d_x_t[c * kBlock + r] * factors[r] - scale * e[c];
    }
  }
}

// scaled = x times what brings a tile's exponentials to the final scale and sum.
void scale_rows(const Plan& plan, const Part& part, const float* tile_tops, const float* factors) {
  const Tag d;
  float scale[kBlock];
  for (int64_t r = 0; r < kBlock; r += lane_count()) {
    const Vec below = hn::Sub(hn::LoadU(d, tile_tops + r), hn::LoadU(d, part.top + r));
    hn::StoreU(hn::Mul(hn::LoadU(d, factors + r), exp_weight(d, below)), d, scale + r);
  }
  for (int64_t r = 0; r < kBlock; ++r) {
    for (int64_t c = r * plan.width; c < (r + 1) * plan.width; c += lane_count()) {
      hn::StoreU(hn::Mul(hn::Set(d, scale[r]), hn::LoadU(d, part.x + c)), d, part.scaled + c);
    }
  }
}

// d_e += (exponentials, brought to the final scale and sum)^T x - grad_scale x at the labels. Tiles in falling order:
// the last of the sweep are still in cache.
void add_to_d_e(const Args& a, const Plan& plan, const Part& part, const Rows& rows, const float* factors) {
  const float* scaled_for = nullptr;
  for (int64_t t = plan.tiles - 1; t >= 0; --t) {
    const Tile tile = tile_at(a, t);
    const float* tops = part.tile_tops + t * kBlock;
    if (!scaled_for || !std::equal(tops, tops + kBlock, scaled_for)) scale_rows(plan, part, tops, factors);
    scaled_for = tops;
    multiply(tile.count, plan.width, kBlock, {part.weights + tile.first * kBlock, kBlock, 1}, part.scaled, plan.width,
             true, part.d_e + tile.first * plan.width, plan.width);
  }
  const auto scale = static_cast<float>(a.grad_scale);
  for (int64_t r = 0; r < rows.count; ++r) {
    float* row = part.d_e + a.labels[rows.first + r] * plan.width;
    for (int64_t c = 0; c < a.C; ++c) row[c] -= scale * part.x[r * plan.width + c];
  }
}

// Blocks of rows of one part.
void run_part(const Args& a, const Plan& plan, const Part& part, int64_t begin, int64_t end) {
  if (a.d_e) std::fill_n(part.d_e, a.V * plan.width, 0.0f);
  float factors[kBlock];
  for (int64_t block = begin; block < end; ++block) {
    Rows rows = load_rows(a, plan, part, block * kBlock);
    sweep(a, plan, part, rows);
    finish_rows(a, part, rows, factors);
    if (a.d_e) add_to_d_e(a, plan, part, rows, factors);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(run_part);

int64_t blocks_of(const Args& a) { return (a.N + kBlock - 1) / kBlock; }

// The plan; `total` is the scratch it needs.
Plan make_plan(const Args& a, int64_t* total) {
  Plan plan;
  plan.width = round_up(a.C, 16);
  plan.tiles = (a.V + kTile - 1) / kTile;
  plan.parts = std::clamp<int64_t>(blocks_of(a), 1, thread_count());
  Scratch part(nullptr);
  cut_part(a, plan, part);
  plan.part_size = part.used();
  Scratch scratch(a.scratch);
  plan.part_memory = scratch.take(plan.parts * plan.part_size);
  *total = Scratch::kAlign + scratch.used();
  return plan;
}

void sum_parts(const Args& a, const Plan& plan, int64_t begin, int64_t end) {
  for (int64_t v = begin; v < end; ++v) {
    for (int64_t p = 0; p < plan.parts; ++p) {
      join_part(p, a.C, part_at(a, plan, p).d_e + v * plan.width, a.d_e + v * a.C);
    }
  }
}

}  // namespace

int64_t cross_entropy_tiles_scratch(const Args& args) noexcept {
  int64_t total = 0;
  make_plan(args, &total);
  return total;
}

void cross_entropy_tiles(const Args& a) noexcept {
  int64_t total = 0;
  const Plan plan = make_plan(a, &total);
  for_each_part(plan.parts, blocks_of(a), [&](int64_t p, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(run_part)(a, plan, part_at(a, plan, p), begin, end);
  });
  if (!a.d_e) return;
  auto sum = [&](int64_t begin, int64_t end) { sum_parts(a, plan, begin, end); };
  parallel_for(a.V, 64, std::ref(sum));
}

}  // namespace rebased::kernels::cpu
#endif
