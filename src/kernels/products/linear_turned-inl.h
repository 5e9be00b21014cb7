// Products of rows that fill vectors, a row a lane, with rows of weights; compiled once for each instruction set.

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/products/linear_plan.h"
#include "kernels/tools/tile-inl.h"
#include "kernels/tools/transpose-inl.h"

#if defined(REBASED_KERNELS_LINEAR_TURNED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_LINEAR_TURNED_INL_H_
#undef REBASED_KERNELS_LINEAR_TURNED_INL_H_
#else
#define REBASED_KERNELS_LINEAR_TURNED_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::linear_turned {

using namespace lanes;  // NOLINT

// Columns [begin, end) of x [N, I] become rows of x_turned [I, turned_width(N)], zeros behind them.
inline void turn_columns(int64_t N, int64_t I, const float* x, float* x_turned, int64_t begin, int64_t end) {
  const int64_t width = turned_width(N);
  transpose_any(N, end - begin, x + begin, I, x_turned + begin * width, width);
  for (int64_t i = begin; i < end; ++i) std::fill(x_turned + i * width + N, x_turned + (i + 1) * width, 0.0f);
}

// y of `count` outputs, at most kTurnedOutputs; w: their rows; y, bias: their places, rows of y O apart; sums: scratch
// [kTurnedOutputs, turned_width(N)]; next: the weights of the outputs behind, as they lie in memory.
inline void some_outputs(int64_t N, int64_t I, int64_t O, const float* x_turned, int64_t count, const float* w,
                         const float* bias, float* y, float* sums, RowsAhead next) {
  const int64_t width = turned_width(N);
  multiply(count, width, I, {w, I, 1}, x_turned, width, false, sums, width, next);
  for (int64_t k = 0; k < count && bias != nullptr; ++k) {
    for (int64_t n = 0; n < width; ++n) sums[k * width + n] += bias[k];
  }
  transpose_any(count, N, sums, width, y, O);
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::linear_turned
HWY_AFTER_NAMESPACE();

#endif  // REBASED_KERNELS_LINEAR_TURNED_INL_H_
