#include "cores/taylor_features/kernel.h"

#include <algorithm>
#include <cmath>

#include "kernels/tools/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/taylor_features/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"
#include "kernels/tools/monomials-inl.h"

#ifndef REBASED_CORES_TAYLOR_FEATURES_ARGS
#define REBASED_CORES_TAYLOR_FEATURES_ARGS
namespace rebased::kernels::cpu {
namespace {
struct FeatureArgs {
  int64_t D;
  bool packed;
  const float* x;
  float* y;
};
struct FeatureGradArgs {
  int64_t D;
  bool packed;
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

void taylor_rows(const FeatureArgs& a, int64_t begin, int64_t end) {
  const double root = std::sqrt(static_cast<double>(a.D));
  const auto linear = static_cast<float>(1 / std::sqrt(root));
  const auto square = static_cast<float>(1 / (std::sqrt(2.0) * root));
  const int64_t F = 1 + a.D + (a.packed ? a.D * (a.D + 1) / 2 : a.D * a.D);
  for (int64_t n = begin; n < end; ++n) {
    const float* x = a.x + n * a.D;
    float* y = a.y + n * F;
    y[0] = 1;
    scaled(a.D, linear, x, y + 1);
    y += 1 + a.D;
    if (a.packed) {
      packed_row(a.D, square, static_cast<float>(1 / root), x, y);
    } else {
      for (int64_t i = 0; i < a.D; ++i) scaled(a.D, square * x[i], x, y + i * a.D);
    }
  }
}

void taylor_grad_rows(const FeatureGradArgs& a, int64_t begin, int64_t end) {
  const double root = std::sqrt(static_cast<double>(a.D));
  const auto linear = static_cast<float>(1 / std::sqrt(root));
  const auto square = static_cast<float>(1 / (std::sqrt(2.0) * root));
  const int64_t F = 1 + a.D + (a.packed ? a.D * (a.D + 1) / 2 : a.D * a.D);
  for (int64_t n = begin; n < end; ++n) {
    const float *x = a.x + n * a.D, *dy = a.dy + n * F + 1;
    float* dx = a.dx + n * a.D;
    scaled(a.D, linear, dy, dx);
    dy += a.D;
    if (a.packed) {
      packed_row_grad(a.D, square, static_cast<float>(1 / root), x, dy, dx);
    } else {
      for (int64_t i = 0; i < a.D; ++i, dy += a.D) {
        dx[i] += square * dot(a.D, x, dy);
        add_scaled(a.D, square * x[i], dy, dx);
      }
    }
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(taylor_rows);
HWY_EXPORT(taylor_grad_rows);

constexpr int64_t kElements = 16384;  // worth a thread

}  // namespace

void taylor_features(int64_t N, int64_t D, bool packed, const float* x, float* y) noexcept {
  over_rows<FeatureArgs>(N, D * D, kElements, {D, packed, x, y}, HWY_DYNAMIC_DISPATCH(taylor_rows));
}

void taylor_features_grad(int64_t N, int64_t D, bool packed, const float* x, const float* dy, float* dx) noexcept {
  over_rows<FeatureGradArgs>(N, D * D, kElements, {D, packed, x, dy, dx}, HWY_DYNAMIC_DISPATCH(taylor_grad_rows));
}

}  // namespace rebased::kernels::cpu
#endif
