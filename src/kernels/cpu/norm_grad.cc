#include "kernels/dense_grad.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/cpu/parts.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm_grad.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"
#include "kernels/cpu/norm_rows-inl.h"

#ifndef REBASED_KERNELS_CPU_NORM_GRAD
#define REBASED_KERNELS_CPU_NORM_GRAD
namespace rebased::kernels::cpu {
namespace {

using Args = NormGradArgs<float>;

constexpr int64_t kRowBlock = 64;  // rows whose sums are taken together before they join the long ones

// Sums over the rows of a part, [C] each: of the current block, and of all before it.
struct GainSums {
  float *gain, *shift, *block_gain, *block_shift;
};

GainSums cut_sums(int64_t C, Scratch& scratch) {
  GainSums sums;
  sums.gain = scratch.take(C);
  sums.shift = scratch.take(C);
  sums.block_gain = scratch.take(C);
  sums.block_shift = scratch.take(C);
  return sums;
}

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// One row: u = (x - mean) * factor, g = dy * gain; see reference/dense_grad.cc.
template <bool kCentred>
HWY_INLINE void row_grad(const Args& a, int64_t n, const GainSums& sums) {
  const Tag d;
  const float *x = a.x + n * a.C, *dy = a.dy + n * a.C, *other = a.other ? a.other + n * a.C : nullptr;
  float* dx = a.dx + n * a.C;
  const float mean = kCentred ? mean_of(x, a.C) : 0.0f;
  const auto factor = static_cast<float>(1 / std::sqrt(mean_square(x, a.C, mean) + a.eps));
  const Vec mid = hn::Set(d, mean), scale = hn::Set(d, factor);
  Vec sum_g = hn::Zero(d), sum_gu = hn::Zero(d);
  for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
    const Vec u = hn::Mul(hn::Sub(at.load(x + c), mid), scale), slope = at.load(dy + c);
    const Vec g = a.gain ? hn::Mul(slope, at.load(a.gain + c)) : slope;  // zero behind the last column
    if (kCentred) sum_g = hn::Add(sum_g, g);
    sum_gu = hn::MulAdd(g, u, sum_gu);
    if (a.d_gain) at.store(hn::MulAdd(slope, u, at.load(sums.block_gain + c)), sums.block_gain + c);
    if (a.d_shift) at.store(hn::Add(slope, at.load(sums.block_shift + c)), sums.block_shift + c);
  });
  const float share = 1.0f / static_cast<float>(a.C);
  const Vec mean_g = hn::Set(d, kCentred ? sum_lanes(sum_g) * share : 0.0f);
  const Vec mean_gu = hn::Set(d, sum_lanes(sum_gu) * share);
  for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
    const Vec u = hn::Mul(hn::Sub(at.load(x + c), mid), scale), slope = at.load(dy + c);
    Vec g = a.gain ? hn::Mul(slope, at.load(a.gain + c)) : slope;
    if (kCentred) g = hn::Sub(g, mean_g);
    const Vec slope_x = hn::Mul(scale, hn::NegMulAdd(u, mean_gu, g));
    at.store(other ? hn::Add(slope_x, at.load(other + c)) : slope_x, dx + c);
  });
}

HWY_INLINE void add_and_clear(int64_t C, float* block, float* total) {
  for_each_vector(C, [&](int64_t c, auto at) HWY_ATTR {
    at.store(hn::Add(at.load(block + c), at.load(total + c)), total + c);
    at.store(hn::Zero(Tag()), block + c);
  });
}

template <bool kCentred>
HWY_INLINE void rows_grad(const Args& a, int64_t begin, int64_t end, const GainSums& sums) {
  for (float* of : {sums.gain, sums.shift, sums.block_gain, sums.block_shift}) std::fill_n(of, a.C, 0.0f);
  for (int64_t n = begin; n < end;) {
    for (const int64_t stop = std::min(end, n + kRowBlock); n < stop; ++n) row_grad<kCentred>(a, n, sums);
    add_and_clear(a.C, sums.block_gain, sums.gain);
    add_and_clear(a.C, sums.block_shift, sums.shift);
  }
}

void layer_norm_rows_grad(const Args& a, int64_t begin, int64_t end, const GainSums& sums) {
  rows_grad<true>(a, begin, end, sums);
}

void rms_norm_rows_grad(const Args& a, int64_t begin, int64_t end, const GainSums& sums) {
  rows_grad<false>(a, begin, end, sums);
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(layer_norm_rows_grad);
HWY_EXPORT(rms_norm_rows_grad);

using RowsFunction = void (*)(const Args&, int64_t, int64_t, const GainSums&);

int64_t parts_of(const Args& a) {
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, a.C));
  return std::clamp<int64_t>((a.N + grain - 1) / grain, 1, thread_count());
}

void over_rows(const Args& a, RowsFunction rows) {
  const int64_t parts = parts_of(a);
  Scratch counted(nullptr);
  cut_sums(a.C, counted);
  auto sums_of = [&](int64_t p) {
    Scratch own(a.scratch + Scratch::kAlign + p * counted.used());
    return cut_sums(a.C, own);
  };
  for_each_part(parts, a.N, [&](int64_t p, int64_t begin, int64_t end) { rows(a, begin, end, sums_of(p)); });
  for (int64_t p = 0; p < parts; ++p) {
    if (a.d_gain) join_part(p, a.C, sums_of(p).gain, a.d_gain);
    if (a.d_shift) join_part(p, a.C, sums_of(p).shift, a.d_shift);
  }
}

}  // namespace

int64_t norm_grad_scratch(const Args& a) noexcept {
  Scratch counted(nullptr);
  cut_sums(a.C, counted);
  return 2 * Scratch::kAlign + parts_of(a) * counted.used();
}

void layer_norm_grad(const Args& a) noexcept { over_rows(a, HWY_DYNAMIC_DISPATCH(layer_norm_rows_grad)); }
void rms_norm_grad(const Args& a) noexcept { over_rows(a, HWY_DYNAMIC_DISPATCH(rms_norm_rows_grad)); }

}  // namespace rebased::kernels::cpu
#endif
