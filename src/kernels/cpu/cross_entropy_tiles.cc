#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "kernels/cpu/cross_entropy_plan.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cross_entropy_tiles.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"
#include "kernels/cpu/tile-inl.h"

#ifndef REBASED_KERNELS_CPU_CROSS_ENTROPY_TILES
#define REBASED_KERNELS_CPU_CROSS_ENTROPY_TILES
namespace rebased::kernels::cpu {
namespace {

using Args = CrossEntropyArgs<float>;

constexpr int64_t kPanel = 32;     // columns of a packed panel of e^T
constexpr int64_t kRowBlock = 32;  // rows of x that share a sweep
constexpr int64_t kTile = 128;     // columns of a sweep's step

// Sizes, and the caller's scratch cut up.
struct Plan {
  int64_t width;       // C rounded up
  int64_t tiles;       // of the vocabulary
  bool padded;         // e is copied to rows of `width`
  int64_t parts;       // of the rows, one a thread
  int64_t part_size;   // scratch of a part
  float* panels;       // [V / kPanel, C, kPanel]: e^T
  float* rows_of_e;    // [V, width] when padded
  float* part_memory;  // parts of part_size
};

// A part's scratch.
struct Part {
  float* x;        // [kRowBlock, width]
  float* scaled;   // [kRowBlock, width]: x times what turns a tile's exponentials into gradients
  float* d_x;      // [kRowBlock, width]
  float* sums;     // [kRowBlock, kMaxLanes]: sums of exponentials, lane by lane
  float* tops;     // [tiles, kRowBlock]: the maximum that a tile's exponentials refer to
  float* weights;  // [tiles, kRowBlock, kTile]: exp(logit - top); one tile when no gradient is wanted
  float* d_e;      // [tiles * kTile, width]
};

Part cut_part(const Plan& plan, bool gradients, Scratch& scratch) {
  const int64_t block = gradients ? kRowBlock * plan.width : 0;
  Part part;
  part.x = scratch.take(kRowBlock * plan.width);
  part.scaled = scratch.take(block);
  part.d_x = scratch.take(block);
  part.sums = scratch.take(kRowBlock * 16);
  part.tops = scratch.take(plan.tiles * kRowBlock);
  part.weights = scratch.take((gradients ? plan.tiles : 1) * kRowBlock * kTile);
  part.d_e = scratch.take(gradients ? plan.tiles * kTile * plan.width : 0);
  return part;
}

Part part_at(const Plan& plan, bool gradients, int64_t p) {
  Scratch own(plan.part_memory + p * plan.part_size);
  return cut_part(plan, gradients, own);
}

// Running values of the rows of a block.
struct RowState {
  float top[kRowBlock];
  float of_label[kRowBlock];
  int64_t best[kRowBlock];
};

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// e^T, panel by panel, zeros behind the last column; and e with padded rows.
void pack_panels(const Args& a, const Plan& plan, int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    float* panel = plan.panels + p * kPanel * a.C;
    const int64_t columns = std::clamp<int64_t>(a.V - p * kPanel, 0, kPanel);
    for (int64_t j = 0; j < kPanel; ++j) {
      const float* e = a.e + (p * kPanel + j) * a.C;
      for (int64_t c = 0; c < a.C; ++c) panel[c * kPanel + j] = j < columns ? e[c] : 0.0f;
      if (!plan.padded || j >= columns) continue;
      float* row = plan.rows_of_e + (p * kPanel + j) * plan.width;
      std::fill(std::copy_n(e, a.C, row), row + plan.width, 0.0f);
    }
  }
}

HWY_INLINE void scale_row(float* row, int64_t width, float factor) {
  const Vec f = hn::Set(Tag(), factor);
  for (int64_t c = 0; c < width; c += lane_count()) hn::StoreU(hn::Mul(hn::LoadU(Tag(), row + c), f), Tag(), row + c);
}

// Raises the maximum of row r to that of the tile's logits and brings what was summed so far to the new scale.
HWY_INLINE void raise_top(const Args& a, const Plan& plan, const Part& part, const float* logits, int64_t j0, int64_t r,
                          RowState& state) {
  const Tag d;
  Vec top = hn::LoadU(d, logits);
  for (int64_t j = lane_count(); j < kTile; j += lane_count()) top = hn::Max(top, hn::LoadU(d, logits + j));
  const float highest = max_lanes(top);
  if (!(highest > state.top[r])) return;
  const float shrink = std::exp(state.top[r] - highest);
  state.top[r] = highest;
  state.best[r] = j0 + (std::find(logits, logits + kTile, highest) - logits);
  scale_row(part.sums + r * kMaxLanes, kMaxLanes, shrink);
  if (a.d_x) scale_row(part.d_x + r * plan.width, plan.width, shrink);
}

// Logits of a tile -> exponentials relative to the running maximum.
HWY_INLINE void exponentiate_tile(const Args& a, const Plan& plan, const Part& part, int64_t first, int64_t tile,
                                  float* weights, RowState& state) {
  const Tag d;
  const int64_t j0 = tile * kTile;
  const int64_t rows = std::min(kRowBlock, a.N - first);
  for (int64_t r = 0; r < kRowBlock; ++r) {
    float* row = weights + r * kTile;
    if (j0 + kTile > a.V) std::fill(row + (a.V - j0), row + kTile, -std::numeric_limits<float>::infinity());
    const int64_t label = r < rows ? a.labels[first + r] - j0 : -1;
    if (label >= 0 && label < kTile) state.of_label[r] = row[label];
    raise_top(a, plan, part, row, j0, r, state);
    part.tops[tile * kRowBlock + r] = state.top[r];
    const Vec shift = hn::Set(d, state.top[r]);
    Vec sum = hn::LoadU(d, part.sums + r * kMaxLanes);
    for (int64_t j = 0; j < kTile; j += lane_count()) {
      const Vec e = exp_nonpositive(d, hn::Sub(hn::LoadU(d, row + j), shift));
      sum = hn::Add(sum, e);
      hn::StoreU(e, d, row + j);
    }
    hn::StoreU(sum, d, part.sums + r * kMaxLanes);
  }
}

void load_block(const Args& a, const Plan& plan, const Part& part, int64_t first, RowState& state) {
  for (int64_t r = 0; r < kRowBlock; ++r) {
    float* row = part.x + r * plan.width;
    const int64_t given = first + r < a.N ? a.C : 0;  // rows behind the last are zero and add nothing
    std::fill(std::copy_n(a.x + (given ? (first + r) * a.C : 0), given, row), row + plan.width, 0.0f);
    state.top[r] = -std::numeric_limits<float>::infinity();
    state.of_label[r] = 0;
    state.best[r] = 0;
  }
  std::fill_n(part.sums, kRowBlock * kMaxLanes, 0.0f);
  if (a.d_x) std::fill_n(part.d_x, kRowBlock * plan.width, 0.0f);
}

// One sweep over the vocabulary: maxima, sums and, up to a factor of the row, d_x.
void sweep(const Args& a, const Plan& plan, const Part& part, int64_t first, RowState& state) {
  const float* e = plan.padded ? plan.rows_of_e : a.e;
  for (int64_t tile = 0; tile < plan.tiles; ++tile) {
    float* weights = part.weights + (a.d_x ? tile * kRowBlock * kTile : 0);
    for (int64_t j = 0; j < kTile; j += kPanel) {
      const float* panel = plan.panels + (tile * kTile + j) * a.C;
      multiply(kRowBlock, kPanel, a.C, {part.x, plan.width, 1}, panel, kPanel, false, weights + j, kTile);
    }
    exponentiate_tile(a, plan, part, first, tile, weights, state);
    if (!a.d_x) continue;
    multiply(kRowBlock, plan.width, std::min(kTile, a.V - tile * kTile), {weights, kTile, 1},
             e + tile * kTile * plan.width, plan.width, true, part.d_x, plan.width);
  }
}

// Writes what belongs to the rows; returns in factors[r] = grad_scale / sum of exponentials.
void finish_rows(const Args& a, const Plan& plan, const Part& part, int64_t first, const RowState& state,
                 float* factors) {
  const int64_t rows = std::min(kRowBlock, a.N - first);
  for (int64_t r = 0; r < kRowBlock; ++r) {
    const double sum = sum_lanes(hn::LoadU(Tag(), part.sums + r * kMaxLanes));
    factors[r] = static_cast<float>(a.grad_scale / sum);
    if (r >= rows) continue;
    const int64_t n = first + r;
    a.nll[n] = static_cast<float>(std::log(sum) + state.top[r] - state.of_label[r]);
    if (a.best) a.best[n] = state.best[r];
    if (!a.d_x) continue;
    const auto scale = static_cast<float>(a.grad_scale);
    const float* e = a.e + a.labels[n] * a.C;
    const float* d_x = part.d_x + r * plan.width;
    for (int64_t c = 0; c < a.C; ++c) a.d_x[n * a.C + c] = d_x[c] * factors[r] - scale * e[c];
  }
}

// d_e += (exponentials, brought to the final maximum and sum)^T x - grad_scale x at the labels.
void add_to_d_e(const Args& a, const Plan& plan, const Part& part, int64_t first, const RowState& state,
                const float* factors) {
  const Tag d;
  for (int64_t tile = 0; tile < plan.tiles; ++tile) {
    for (int64_t r = 0; r < kRowBlock; ++r) {
      const float below = part.tops[tile * kRowBlock + r] - state.top[r];
      const Vec factor = hn::Set(d, below == 0 ? factors[r] : factors[r] * std::exp(below));
      for (int64_t c = 0; c < plan.width; c += lane_count()) {
        hn::StoreU(hn::Mul(factor, hn::LoadU(d, part.x + r * plan.width + c)), d, part.scaled + r * plan.width + c);
      }
    }
    multiply(kTile, plan.width, kRowBlock, {part.weights + tile * kRowBlock * kTile, 1, kTile}, part.scaled, plan.width,
             true, part.d_e + tile * kTile * plan.width, plan.width);
  }
  const auto scale = static_cast<float>(a.grad_scale);
  for (int64_t r = 0; r < std::min(kRowBlock, a.N - first); ++r) {
    float* row = part.d_e + a.labels[first + r] * plan.width;
    for (int64_t c = 0; c < a.C; ++c) row[c] -= scale * part.x[r * plan.width + c];
  }
}

// Row blocks of one part.
void run_part(const Args& a, const Plan& plan, const Part& part, int64_t begin, int64_t end) {
  if (a.d_e) std::fill_n(part.d_e, plan.tiles * kTile * plan.width, 0.0f);
  RowState state;
  float factors[kRowBlock];
  for (int64_t block = begin; block < end; ++block) {
    const int64_t first = block * kRowBlock;
    load_block(a, plan, part, first, state);
    sweep(a, plan, part, first, state);
    finish_rows(a, plan, part, first, state, factors);
    if (a.d_e) add_to_d_e(a, plan, part, first, state, factors);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(pack_panels);
HWY_EXPORT(run_part);

int64_t row_blocks(const Args& a) { return (a.N + kRowBlock - 1) / kRowBlock; }

// The plan; `total` is the scratch it needs.
Plan make_plan(const Args& a, int64_t* total) {
  Plan plan;
  plan.width = round_up(a.C, 16);
  plan.tiles = (a.V + kTile - 1) / kTile;
  plan.padded = a.d_x != nullptr && plan.width != a.C;
  plan.parts = std::clamp<int64_t>(row_blocks(a), 1, thread_count());
  Scratch part(nullptr);
  cut_part(plan, a.d_x != nullptr, part);
  plan.part_size = part.used();
  Scratch scratch(a.scratch);
  plan.panels = scratch.take(plan.tiles * kTile * a.C);
  plan.rows_of_e = scratch.take(plan.padded ? a.V * plan.width : 0);
  plan.part_memory = scratch.take(plan.parts * plan.part_size);
  *total = Scratch::kAlign + scratch.used();
  return plan;
}

void sum_parts(const Args& a, const Plan& plan, int64_t begin, int64_t end) {
  for (int64_t v = begin; v < end; ++v) {
    for (int64_t p = 0; p < plan.parts; ++p) {
      const float* row = part_at(plan, true, p).d_e + v * plan.width;
      for (int64_t c = 0; c < a.C; ++c) a.d_e[v * a.C + c] = (p == 0 ? 0.0f : a.d_e[v * a.C + c]) + row[c];
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
  auto pack = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(pack_panels)(a, plan, begin, end); };
  parallel_for(plan.tiles * kTile / kPanel, 8, std::ref(pack));
  const int64_t blocks = row_blocks(a);
  auto run = [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const Part part = part_at(plan, a.d_x != nullptr, p);
      HWY_DYNAMIC_DISPATCH(run_part)(a, plan, part, blocks * p / plan.parts, blocks * (p + 1) / plan.parts);
    }
  };
  parallel_for(plan.parts, 1, std::ref(run));
  if (!a.d_e) return;
  auto sum = [&](int64_t begin, int64_t end) { sum_parts(a, plan, begin, end); };
  parallel_for(a.V, 64, std::ref(sum));
}

}  // namespace rebased::kernels::cpu
#endif
