#include "cores/norm/kernel.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/tools/parts.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/norm/cpu_grad.cc"
#include "hwy/foreach_target.h"  // before the others

#include "cores/norm/rows-inl.h"
#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_CORES_NORM_GRAD
#define REBASED_CORES_NORM_GRAD
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

// Rows n ..: u = (x - mean) * factor, g = dy * gain; see reference/dense_grad.cc.
template <bool kCentred, int kRows>
HWY_INLINE void grad_of_rows(const Args& a, int64_t n, const GainSums& sums) {
  const Tag d;
  const float *x = a.x + n * a.C, *dy = a.dy + n * a.C;
  float means[kRows] = {}, factors[kRows];
  if (kCentred) means_of_rows(x, a.C, means);
  factors_of_rows(x, a.C, means, a.eps, factors);
  auto unit = [&](int r, int64_t c, auto at) HWY_ATTR {
    return hn::Mul(hn::Sub(at.load(x + r * a.C + c), hn::Set(d, means[r])), hn::Set(d, factors[r]));
  };
  Vec sums_g[kRows], sums_gu[kRows];
  for (int r = 0; r < kRows; ++r) sums_g[r] = sums_gu[r] = hn::Zero(d);
  for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
    Vec gain_sum = hn::Zero(d), shift_sum = hn::Zero(d);
    for (int r = 0; r < kRows; ++r) {
      const Vec u = unit(r, c, at), slope = at.load(dy + r * a.C + c);
      const Vec g = a.gain ? hn::Mul(slope, at.load(a.gain + c)) : slope;  // zero behind the last column
      if (kCentred) sums_g[r] = hn::Add(sums_g[r], g);
      sums_gu[r] = hn::MulAdd(g, u, sums_gu[r]);
      gain_sum = hn::MulAdd(slope, u, gain_sum);
      shift_sum = hn::Add(slope, shift_sum);
    }
    if (a.d_gain) at.store(hn::Add(gain_sum, at.load(sums.block_gain + c)), sums.block_gain + c);
    if (a.d_shift) at.store(hn::Add(shift_sum, at.load(sums.block_shift + c)), sums.block_shift + c);
  });
  float mean_g[kRows] = {}, mean_gu[kRows];
  if (kCentred) sums_of_rows(sums_g, mean_g);
  sums_of_rows(sums_gu, mean_gu);
  const float share = 1.0f / static_cast<float>(a.C);
  for (int r = 0; r < kRows; ++r) {
    const Vec scale = hn::Set(d, factors[r]), shift = hn::Set(d, mean_g[r] * share);
    const Vec slant = hn::Set(d, mean_gu[r] * share);
    const float* other = a.other ? a.other + (n + r) * a.C : nullptr;
    for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
      const Vec slope = at.load(dy + r * a.C + c);
      Vec g = a.gain ? hn::Mul(slope, at.load(a.gain + c)) : slope;
      if (kCentred) g = hn::Sub(g, shift);
      const Vec slope_x = hn::Mul(scale, hn::NegMulAdd(unit(r, c, at), slant, g));
      at.store(other ? hn::Add(slope_x, at.load(other + c)) : slope_x, a.dx + (n + r) * a.C + c);
    });
  }
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
  for (int64_t first = begin; first < end; first += kRowBlock) {
    for_each_rows(a.C, first, std::min(end, first + kRowBlock),
                  [&](int64_t n, auto count) HWY_ATTR { grad_of_rows<kCentred, decltype(count)::value>(a, n, sums); });
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
