#include "cores/packed_squares/kernel.h"

#include <algorithm>
#include <cmath>

#include "kernels/tools/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/packed_squares/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"
#include "kernels/tools/monomials-inl.h"

#ifndef REBASED_CORES_PACKED_SQUARES_ARGS
#define REBASED_CORES_PACKED_SQUARES_ARGS
namespace rebased::kernels::cpu {
namespace {
struct FeatureArgs {
  int64_t D;
  const float* x;
  float* y;
};
struct FeatureGradArgs {
  int64_t D;
  const float* x;
  const float* dy;
  float* dx;
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

void packed_rows(const FeatureArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    packed_row(a.D, 1, static_cast<float>(std::sqrt(2.0)), a.x + n * a.D, a.y + n * (a.D * (a.D + 1) / 2));
  }
}

void packed_grad_rows(const FeatureGradArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    float* dx = a.dx + n * a.D;
    std::fill_n(dx, a.D, 0.0f);
    packed_row_grad(a.D, 1, static_cast<float>(std::sqrt(2.0)), a.x + n * a.D, a.dy + n * (a.D * (a.D + 1) / 2), dx);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(packed_rows);
HWY_EXPORT(packed_grad_rows);

constexpr int64_t kElements = 16384;  // worth a thread

}  // namespace

void packed_squares(int64_t N, int64_t D, const float* x, float* y) noexcept {
  over_rows<FeatureArgs>(N, D * D, kElements, {D, x, y}, HWY_DYNAMIC_DISPATCH(packed_rows));
}

void packed_squares_grad(int64_t N, int64_t D, const float* x, const float* dy, float* dx) noexcept {
  over_rows<FeatureGradArgs>(N, D * D, kElements, {D, x, dy, dx}, HWY_DYNAMIC_DISPATCH(packed_grad_rows));
}

}  // namespace rebased::kernels::cpu
#endif
