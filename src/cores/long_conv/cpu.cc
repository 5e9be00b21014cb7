#include "cores/long_conv/kernel.h"

#include <algorithm>
#include <functional>

#include "base/threads.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/long_conv/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_CORES_LONG_CONV_ARGS
#define REBASED_CORES_LONG_CONV_ARGS
namespace rebased::kernels::cpu {
namespace {

constexpr int kBlock = 8;  // outputs, or lags of the filter's gradient, in registers

// One batch row through a filter that lies lag by lag, [T, C]. Rows of x and y are `step` apart: -C runs time
// backwards.
struct Causal {
  int64_t T, C, step;
  const float* x;
  const float* filter;
  float* y;
};
struct FilterSlopes {
  int64_t B, T, C;
  const float* x;
  const float* dy;
  float* slopes;  // [T, C]
};

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// y[t] for t in [begin, begin + n), n <= kBlock, of the channels that `at` reaches from c on.
template <class Access>
HWY_INLINE void causal_block(const Causal& a, int64_t begin, int64_t n, int64_t c, Access at) {
  Vec sums[kBlock];
  for (Vec& sum : sums) sum = hn::Zero(Tag());
  const float* x = a.x + c;
  for (int64_t j = 0; n == kBlock && j <= begin; ++j) {
    const Vec weight = at.load(a.filter + j * a.C + c);
    HWY_UNROLL(8)
    for (int i = 0; i < kBlock; ++i) sums[i] = hn::MulAdd(weight, at.load(x + (begin + i - j) * a.step), sums[i]);
  }
  for (int64_t j = n == kBlock ? begin + 1 : 0; j < begin + n; ++j) {
    const Vec weight = at.load(a.filter + j * a.C + c);
    for (int64_t i = std::max<int64_t>(0, j - begin); i < n; ++i) {
      sums[i] = hn::MulAdd(weight, at.load(x + (begin + i - j) * a.step), sums[i]);
    }
  }
  for (int64_t i = 0; i < n; ++i) at.store(sums[i], a.y + (begin + i) * a.step + c);
}

void causal_row(const Causal& a) {
  for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
    for (int64_t t = 0; t < a.T; t += kBlock) causal_block(a, t, std::min<int64_t>(kBlock, a.T - t), c, at);
  });
}

// slopes[j] = sum_{b, t >= j} dy[t] x[t - j] for lags j in [lag, lag + n), n <= kBlock.
template <class Access>
HWY_INLINE void lag_block(const FilterSlopes& a, int64_t lag, int64_t n, int64_t c, Access at) {
  Vec sums[kBlock];
  for (Vec& sum : sums) sum = hn::Zero(Tag());
  for (int64_t b = 0; b < a.B; ++b) {
    const float *x = a.x + b * a.T * a.C + c, *dy = a.dy + b * a.T * a.C + c;
    const int64_t whole = n == kBlock ? std::min(a.T, lag + kBlock - 1) : a.T;
    for (int64_t t = lag; t < whole; ++t) {
      const Vec slope = at.load(dy + t * a.C);
      const int64_t count = std::min(n, t - lag + 1);
      for (int64_t i = 0; i < count; ++i) sums[i] = hn::MulAdd(slope, at.load(x + (t - lag - i) * a.C), sums[i]);
    }
    for (int64_t t = whole; t < a.T; ++t) {
      const Vec slope = at.load(dy + t * a.C);
      HWY_UNROLL(8)
      for (int i = 0; i < kBlock; ++i) sums[i] = hn::MulAdd(slope, at.load(x + (t - lag - i) * a.C), sums[i]);
    }
  }
  for (int64_t i = 0; i < n; ++i) at.store(sums[i], a.slopes + (lag + i) * a.C + c);
}

void lag_blocks(const FilterSlopes& a, int64_t begin, int64_t end) {
  for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t lag = block * kBlock;
      lag_block(a, lag, std::min<int64_t>(kBlock, a.T - lag), c, at);
    }
  });
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(causal_row);
HWY_EXPORT(lag_blocks);

void turn_filter(const LongConvArgs<float>& a, float* turned) {
  for (int64_t c = 0; c < a.C; ++c) {
    for (int64_t j = 0; j < a.T; ++j) turned[j * a.C + c] = a.filter[c * a.L + j];
  }
}

// Row b of `x` and `y` is all(b).
template <class RowOf>
void over_batch(int64_t B, const RowOf& row) {
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) HWY_DYNAMIC_DISPATCH(causal_row)(row(b));
  };
  parallel_for(B, 1, std::ref(body));
}

}  // namespace

int64_t long_conv_scratch(const LongConvArgs<float>& args) noexcept { return args.T * args.C; }

int64_t long_conv_grad_scratch(const LongConvGradArgs<float>& args) noexcept {
  return 2 * args.forward.T * args.forward.C;
}

void long_conv(const LongConvArgs<float>& a) noexcept {
  turn_filter(a, a.scratch);
  over_batch(a.B, [&](int64_t b) {
    const int64_t at = b * a.T * a.C;
    return Causal{a.T, a.C, a.C, a.x + at, a.scratch, a.y + at};
  });
}

// dx is the same convolution of dy, backwards in time.
void long_conv_grad(const LongConvGradArgs<float>& args) noexcept {
  const LongConvArgs<float>& a = args.forward;
  float *turned = args.scratch, *slopes = turned + a.T * a.C;
  turn_filter(a, turned);
  over_batch(a.B, [&](int64_t b) {
    const int64_t last = (b * a.T + a.T - 1) * a.C;
    return Causal{a.T, a.C, -a.C, args.dy + last, turned, args.dx + last};
  });
  const FilterSlopes of_filter{a.B, a.T, a.C, a.x, args.dy, slopes};
  auto body = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(lag_blocks)(of_filter, begin, end); };
  parallel_for((a.T + kBlock - 1) / kBlock, 1, std::ref(body));
  for (int64_t c = 0; c < a.C; ++c) {
    float* row = args.d_filter + c * a.L;
    for (int64_t j = 0; j < a.T; ++j) row[j] = slopes[j * a.C + c];
    std::fill(row + a.T, row + a.L, 0.0f);
  }
}

}  // namespace rebased::kernels::cpu
#endif
