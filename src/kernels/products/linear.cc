#include <algorithm>
#include <cstring>
#include <functional>

#include "base/threads.h"
#include "kernels/blas_product.h"
#include "kernels/dense.h"
#include "kernels/products/linear_plan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/products/linear.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/products/linear_tile-inl.h"
#include "kernels/products/linear_turned-inl.h"

#ifndef REBASED_KERNELS_LINEAR_ARGS
#define REBASED_KERNELS_LINEAR_ARGS
namespace rebased::kernels::cpu {
namespace {
struct LinearArgs {
  int64_t N, I, O;
  const float* x;
  const float* w;
  const float* bias;
  float* y;
  const float* turned;  // x, where rows are lanes
  float* sums;          // and a thread's own scratch
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// Output o of one row. A step takes a line of memory by one load where vectors are as wide: loads in turn, each with
// strides of its own, are fetched ahead more slowly, and a line takes longer than an addition.
HWY_INLINE float dot_row(const LinearArgs& a, int64_t o) {
  constexpr int64_t kParts = std::max<int64_t>(1, 16 / kMaxLanes);
  const Tag d;
  const int64_t L = lane_count();
  const float* w = a.w + o * a.I;
  Vec parts[kParts];
  for (Vec& part : parts) part = hn::Zero(d);
  int64_t i = 0;
#pragma GCC unroll 1
  for (; i + kParts * L <= a.I; i += kParts * L) {
    HWY_UNROLL(4)
    for (int64_t p = 0; p < kParts; ++p) {
      parts[p] = hn::MulAdd(hn::LoadU(d, a.x + i + p * L), hn::LoadU(d, w + i + p * L), parts[p]);
    }
  }
  for_each_vector(a.I - i, [&](int64_t j, auto at)
                               HWY_ATTR { parts[0] = hn::MulAdd(at.load(a.x + i + j), at.load(w + i + j), parts[0]); });
  for (int64_t p = 1; p < kParts; ++p) parts[0] = hn::Add(parts[0], parts[p]);
  return sum_lanes(parts[0]);
}

void stream_range(const LinearArgs& a, int64_t begin, int64_t end) {
  using namespace linear_tile;  // NOLINT
  if (a.N > 1) return all_outputs<kOutputs>(Tile<FloatRows>{a.N, a.O, {a.I}, a.x, a.w, a.bias, a.y}, begin, end);
  for (int64_t o = begin; o < end; ++o) a.y[o] = dot_row(a, o) + (a.bias ? a.bias[o] : 0.0f);
}

void turn_range(int64_t N, int64_t I, const float* x, float* turned, int64_t begin, int64_t end) {
  linear_turned::turn_columns(N, I, x, turned, begin, end);
}

void turned_range(const LinearArgs& a, int64_t begin, int64_t end) {
  const int64_t bytes = sizeof(float);
  for (int64_t o = begin; o < end; o += kTurnedOutputs) {
    const float *w = a.w + o * a.I, *next = o + kTurnedOutputs < end ? w + kTurnedOutputs * a.I : w;
    linear_turned::some_outputs(a.N, a.I, a.O, a.turned, std::min(kTurnedOutputs, end - o), w,
                                a.bias ? a.bias + o : nullptr, a.y + o, a.sums, {next, a.I * bytes, bytes});
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(stream_range);
HWY_EXPORT(turn_range);
HWY_EXPORT(turned_range);

void linear_of_turned(LinearArgs args, float* scratch) {
  Scratch memory(scratch);
  float* turned = memory.take(args.I * turned_width(args.N));
  turn_rows(args.N, args.I, args.x, turned);
  args.turned = turned;
  const int64_t own = kTurnedOutputs * turned_width(args.N);
  float* sums = memory.take(thread_count() * own);
  auto body = [&](int64_t begin, int64_t end) {
    LinearArgs mine = args;
    mine.sums = sums + thread_index() * own;
    HWY_DYNAMIC_DISPATCH(turned_range)(mine, begin, end);
  };
  parallel_for(args.O, kTurnedOutputs, std::ref(body));
}

}  // namespace

void turn_rows(int64_t N, int64_t I, const float* x, float* turned) noexcept {
  auto turn = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(turn_range)(N, I, x, turned, begin, end); };
  parallel_for(I, 256, std::ref(turn));
}

int64_t linear_scratch(int64_t N, int64_t I) noexcept {
  if (!is_turned(N)) return 0;
  return Scratch::kAlign + (I + thread_count() * kTurnedOutputs) * turned_width(N);
}

void linear_blas(int64_t N, int64_t I, int64_t O, const float* x, const float* w, const float* bias, float* y,
                 int64_t ldy) noexcept {
  if (bias != nullptr) {
    auto fill = [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) std::memcpy(y + n * ldy, bias, static_cast<size_t>(O) * sizeof(float));
    };
    parallel_for(N, std::max<int64_t>(1, 65536 / O), std::ref(fill));
  }
  blas_product(
      {.M = N, .N = O, .K = I, .a = x, .b = w, .b_turned = true, .c = y, .accumulate = bias != nullptr, .ldc = ldy});
}

void linear(int64_t N, int64_t I, int64_t O, const float* x, const float* w, const float* bias, float* y,
            float* scratch) noexcept {
  const LinearArgs args{N, I, O, x, w, bias, y, nullptr, nullptr};
  if (N <= 0 || O <= 0) return;
  if (is_turned(N)) return linear_of_turned(args, scratch);
  if (N > kStreamedRows && I > 0) return linear_blas(N, I, O, x, w, bias, y, O);
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(stream_range)(args, begin, end); };
  parallel_for(O, std::max<int64_t>(4, 32768 / std::max<int64_t>(1, I * N)), std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
