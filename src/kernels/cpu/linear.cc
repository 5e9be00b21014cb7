#include <cblas.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/threads.h"
#include "kernels/dense.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#ifndef REBASED_KERNELS_CPU_LINEAR_ARGS
#define REBASED_KERNELS_CPU_LINEAR_ARGS
namespace rebased::kernels::cpu {
namespace {
struct LinearArgs {
  int64_t N, I, O;
  const float* x;
  const float* w;
  const float* bias;
  float* y;
};
constexpr int64_t kStreamedRows = 64;  // up to here the weights are streamed; packing them for BLAS costs more
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// Outputs [o, o + kOut) of rows [n, n + kRows).
template <int kRows, int kOut>
HWY_INLINE void dot_tile(const LinearArgs& a, int64_t n, int64_t o) {
  const Tag d;
  const float* x = a.x + n * a.I;
  const float* w = a.w + o * a.I;
  Vec sums[kRows * kOut];
  for (Vec& sum : sums) sum = hn::Zero(d);
  for_each_vector(a.I, [&](int64_t i, auto at) HWY_ATTR {
    Vec weights[kOut];
    for (int k = 0; k < kOut; ++k) weights[k] = at.load(w + k * a.I + i);
    for (int r = 0; r < kRows; ++r) {
      const Vec input = at.load(x + r * a.I + i);
      for (int k = 0; k < kOut; ++k) sums[r * kOut + k] = hn::MulAdd(input, weights[k], sums[r * kOut + k]);
    }
  });
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kOut; ++k) {
      a.y[(n + r) * a.O + o + k] = sum_lanes(sums[r * kOut + k]) + (a.bias ? a.bias[o + k] : 0.0f);
    }
  }
}

// Every row for outputs [o, o + kOut): their weights are read from memory once and stay in the first cache.
template <int kOut>
HWY_INLINE void stream_outputs(const LinearArgs& a, int64_t o) {
  int64_t n = 0;
  for (; n + 4 <= a.N; n += 4) dot_tile<4, kOut>(a, n, o);
  if (a.N - n == 3) {
    dot_tile<3, kOut>(a, n, o);
  } else if (a.N - n == 2) {
    dot_tile<2, kOut>(a, n, o);
  } else if (a.N - n == 1) {
    dot_tile<1, kOut>(a, n, o);
  }
}

void stream_range(const LinearArgs& a, int64_t begin, int64_t end) {
  constexpr int kOut = HWY_TARGET <= HWY_AVX3 ? 4 : 2;  // as many as the registers hold for four rows
  int64_t o = begin;
  for (; o + kOut <= end; o += kOut) stream_outputs<kOut>(a, o);
  for (; o < end; ++o) stream_outputs<1>(a, o);
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(stream_range);

void linear_blas(const LinearArgs& a) {
  if (a.bias != nullptr) {
    auto fill = [&a](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        std::memcpy(a.y + n * a.O, a.bias, static_cast<size_t>(a.O) * sizeof(float));
    };
    parallel_for(a.N, std::max<int64_t>(1, 65536 / a.O), std::ref(fill));
  }
  const int lead = static_cast<int>(std::max<int64_t>(1, a.I));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(a.N), static_cast<int>(a.O),
              static_cast<int>(a.I), 1.0f, a.x, lead, a.w, lead, a.bias ? 1.0f : 0.0f, a.y, static_cast<int>(a.O));
}

}  // namespace

void linear(int64_t N, int64_t I, int64_t O, const float* x, const float* w, const float* bias, float* y) noexcept {
  const LinearArgs args{N, I, O, x, w, bias, y};
  if (N <= 0 || O <= 0) return;
  if (N > kStreamedRows && I > 0) return linear_blas(args);
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(stream_range)(args, begin, end); };
  parallel_for(O, std::max<int64_t>(4, 32768 / std::max<int64_t>(1, I * N)), std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
