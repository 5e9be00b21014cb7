#include <algorithm>
#include <functional>

#include "base/threads.h"
#include "cores/softmax_attention/kernel.h"
#include "cores/softmax_attention/rows.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/softmax_attention/cpu_grad.cc"
#include "hwy/foreach_target.h"  // before the others

#include "cores/softmax_attention/dropout-inl.h"
#include "cores/softmax_attention/mask-inl.h"
#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"
#include "kernels/tools/tile-inl.h"
#include "kernels/tools/transpose-inl.h"

#ifndef REBASED_CORES_SOFTMAX_ATTENTION_GRAD
#define REBASED_CORES_SOFTMAX_ATTENTION_GRAD
namespace rebased::kernels::cpu {
namespace {

using namespace softmax;  // NOLINT

using GradArgs = SoftmaxAttentionGradArgs<float>;

// A thread's scratch for one (batch, key head): its slots packed once, tiles of kKeys; then a block of rows.
struct Workspace {
  int64_t key_width, value_width;  // Dk and Dv rounded up
  int64_t slots;                   // S rounded up
  float* keys;                     // [slots, key_width]
  float* keys_t;                   // tiles of [Dk, kKeys]
  float* values_t;                 // tiles of [Dv, kKeys]
  float* dk;                       // [slots, key_width]
  float* dv;                       // [slots, value_width]
  float* q;                        // [kQueries, key_width], scaled
  float* d_o;                      // [kQueries, value_width]
  float* dq;                       // [kQueries, key_width]
  float* weights;                  // [kQueries, kKeys]
  float* slopes;                   // [kQueries, kKeys]: gradient of the weights, then of the scores
  float* lse;                      // [kQueries]
  float* delta;                    // [kQueries]: <d_o, o>
};

Workspace cut_workspace(const Args& a, Scratch& scratch) {
  Workspace w{};
  w.key_width = round_up(a.Dk, 16);
  w.value_width = round_up(a.Dv, 16);
  w.slots = round_up(a.S, kKeys);
  w.keys = scratch.take(w.slots * w.key_width);
  w.keys_t = scratch.take(w.slots * a.Dk);
  w.values_t = scratch.take(w.slots * a.Dv);
  w.dk = scratch.take(w.slots * w.key_width);
  w.dv = scratch.take(w.slots * w.value_width);
  w.q = scratch.take(kQueries * w.key_width);
  w.d_o = scratch.take(kQueries * w.value_width);
  w.dq = scratch.take(kQueries * w.key_width);
  w.weights = scratch.take(kQueries * kKeys);
  w.slopes = scratch.take(kQueries * kKeys);
  w.lse = scratch.take(kQueries);
  w.delta = scratch.take(kQueries);
  return w;
}

int64_t workspace_floats(const Args& a) {
  Scratch scratch(nullptr);
  cut_workspace(a, scratch);
  return scratch.used();
}

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// Rows of D of a step's slots, `width` apart and padded with zeros; zeros where nothing is held, whatever lies there.
void copy_rows(const Args& a, const Slots& slots, const float* rows, int64_t D, float* to, int64_t width) {
  std::fill_n(to, kKeys * width, 0.0f);
  for (int64_t s = 0; s < slots.count; ++s) {
    if (slots.positions[s] >= 0) std::copy_n(rows + (slots.first + s * a.Hkv) * D, D, to + s * width);
  }
}

// Slots of one (batch, key head). The values lie in dv until they are turned.
void pack_slots(const Args& a, int64_t b, int64_t key_head, const Workspace& w) {
  for (int64_t s0 = 0; s0 < a.S; s0 += kKeys) {
    const Slots slots = slots_of(a, b, key_head, s0, a.S);
    float *keys = w.keys + s0 * w.key_width, *values = w.dv + s0 * w.value_width;
    copy_rows(a, slots, a.k, a.Dk, keys, w.key_width);
    transpose_any(kKeys, a.Dk, keys, w.key_width, w.keys_t + s0 * a.Dk, kKeys);
    copy_rows(a, slots, a.v, a.Dv, values, w.value_width);
    transpose_any(kKeys, a.Dv, values, w.value_width, w.values_t + s0 * a.Dv, kKeys);
  }
  std::fill_n(w.dk, w.slots * w.key_width, 0.0f);
  std::fill_n(w.dv, w.slots * w.value_width, 0.0f);
}

// In the order and with the roundings of register_tile: the slope of a row that sees one value, o, is exactly zero.
float dot_in_order(int64_t n, const float* x, const float* y) {
  const hn::CappedTag<float, 1> d;
  auto sum = hn::Zero(d);
  for (int64_t c = 0; c < n; ++c) sum = hn::MulAdd(hn::Set(d, x[c]), hn::Set(d, y[c]), sum);
  return hn::GetLane(sum);
}

// Rows behind the last are zeros that see nothing.
void load_rows(const GradArgs& g, const Rows& rows, const Workspace& w) {
  const Args& a = g.forward;
  const auto scale = static_cast<float>(a.scale);
  std::fill_n(w.q, kQueries * w.key_width, 0.0f);
  std::fill_n(w.d_o, kQueries * w.value_width, 0.0f);
  std::fill_n(w.lse, kQueries, kNone);
  std::fill_n(w.delta, kQueries, 0.0f);
  std::fill_n(w.dq, kQueries * w.key_width, 0.0f);
  for_each_row(a, rows, [&](int64_t i, int64_t, int64_t row) HWY_ATTR {
    const float *q = a.q + row * a.Dk, *d_o = g.d_o + row * a.Dv, *o = a.o + row * a.Dv;
    std::transform(q, q + a.Dk, w.q + i * w.key_width, [&](float x) { return scale * x; });
    std::copy_n(d_o, a.Dv, w.d_o + i * w.value_width);
    w.lse[i] = a.lse[row];
    w.delta[i] = dot_in_order(a.Dv, d_o, o);
  });
}

// weights: scores -> exp(score - lse); slopes: <d_o, v> -> weights (<d_o, v> - delta).
void weigh_and_slope(const Workspace& w, int64_t rows) {
  constexpr int kAtOnce = 4;
  const Tag d;
  for (int64_t i = 0; i < rows; ++i) {
    float *weights = w.weights + i * kKeys, *slopes = w.slopes + i * kKeys;
    if (w.lse[i] == kNone) {
      std::fill_n(weights, kKeys, 0.0f);
      std::fill_n(slopes, kKeys, 0.0f);
      continue;
    }
    const Vec lse = hn::Set(d, w.lse[i]), delta = hn::Set(d, w.delta[i]);
    for (int64_t s = 0; s < kKeys; s += kAtOnce * lane_count()) {
      Vec p[kAtOnce];
      for (int j = 0; j < kAtOnce; ++j) p[j] = hn::Sub(hn::LoadU(d, weights + s + j * lane_count()), lse);
      exp_weights(d, p);
      for (int j = 0; j < kAtOnce; ++j) {
        float* slope = slopes + s + j * lane_count();
        hn::StoreU(p[j], d, weights + s + j * lane_count());
        hn::StoreU(hn::Mul(p[j], hn::Sub(hn::LoadU(d, slope), delta)), d, slope);
      }
    }
  }
}

void grad_tile(const Args& a, const Rows& rows, const Workspace& w, int64_t s0, const Slots& slots, Sight seen) {
  const int64_t M = round_up(rows.count, kTileRows);
  multiply(M, kKeys, a.Dk, {w.q, w.key_width, 1}, w.keys_t + s0 * a.Dk, kKeys, false, w.weights, kKeys);
  if (seen == Sight::kSome) mask_slots(a, rows, w.weights, slots);
  multiply(M, kKeys, a.Dv, {w.d_o, w.value_width, 1}, w.values_t + s0 * a.Dv, kKeys, false, w.slopes, kKeys);
  if (a.dropout > 0) drop_slots(a, rows, w.slopes, slots);
  weigh_and_slope(w, M);
  if (a.dropout > 0) drop_slots(a, rows, w.weights, slots);
  multiply(kKeys, w.value_width, M, {w.weights, 1, kKeys}, w.d_o, w.value_width, true, w.dv + s0 * w.value_width,
           w.value_width);
  multiply(kKeys, w.key_width, M, {w.slopes, 1, kKeys}, w.q, w.key_width, true, w.dk + s0 * w.key_width, w.key_width);
  multiply(M, w.key_width, slots.count, {w.slopes, kKeys, 1}, w.keys + s0 * w.key_width, w.key_width, true, w.dq,
           w.key_width);
}

void store_rows(const GradArgs& g, const Rows& rows, const Workspace& w) {
  const Args& a = g.forward;
  const auto scale = static_cast<float>(a.scale);
  for_each_row(a, rows, [&](int64_t i, int64_t, int64_t row) {
    const float* dq = w.dq + i * w.key_width;
    std::transform(dq, dq + a.Dk, g.dq + row * a.Dk, [&](float x) { return scale * x; });
  });
}

// The scale of dk came in with q.
void store_slots(const GradArgs& g, int64_t b, int64_t key_head, const Workspace& w) {
  const Args& a = g.forward;
  for (int64_t s = 0; s < a.S; ++s) {
    const int64_t slot = (b * a.S + s) * a.Hkv + key_head;
    std::copy_n(w.dk + s * w.key_width, a.Dk, g.dk + slot * a.Dk);
    std::copy_n(w.dv + s * w.value_width, a.Dv, g.dv + slot * a.Dv);
  }
}

void grad_key_head(const GradArgs& g, int64_t item, const Workspace& w) {
  const Args& a = g.forward;
  const int64_t b = item / a.Hkv, key_head = item % a.Hkv, blocks = row_blocks(a);
  pack_slots(a, b, key_head, w);
  for (int64_t block = 0; block < blocks; ++block) {
    const Rows rows = rows_of(a, item, block);
    load_rows(g, rows, w);
    for (int64_t s0 = 0; s0 < a.S; s0 += kKeys) {
      const Slots slots = slots_of(a, b, key_head, s0, a.S);
      const Sight seen = sight(a, rows, slots);
      if (seen != Sight::kNothing) grad_tile(a, rows, w, s0, slots, seen);
    }
    store_rows(g, rows, w);
  }
  store_slots(g, b, key_head, w);
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(grad_key_head);

}  // namespace

int64_t softmax_attention_grad_scratch(const GradArgs& g) noexcept {
  return Scratch::kAlign + thread_count() * workspace_floats(g.forward);
}

void softmax_attention_grad(const GradArgs& g) noexcept {
  const Args& a = g.forward;
  const int64_t own = workspace_floats(a);
  float* base = Scratch(g.scratch).take(0);
  auto body = [&](int64_t begin, int64_t end) {
    Scratch scratch(base + thread_index() * own);
    const Workspace w = cut_workspace(a, scratch);
    for (int64_t item = begin; item < end; ++item) HWY_DYNAMIC_DISPATCH(grad_key_head)(g, item, w);
  };
  parallel_for(a.B * a.Hkv, 1, std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
