#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/threads.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/features.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#ifndef REBASED_KERNELS_CPU_FEATURE_ARGS
#define REBASED_KERNELS_CPU_FEATURE_ARGS
namespace rebased::kernels::cpu {
namespace {
struct FeatureArgs {
  int64_t D;
  bool packed;
  const float* x;
  float* y;
};
struct RowAdder {
  int64_t N, C;
  const int64_t* rows;
  const float* x;
  float* table;
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

// y[i] = factor x[i]
HWY_INLINE void scaled(int64_t n, float factor, const float* x, float* y) {
  const Vec f = hn::Set(Tag(), factor);
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR { at.store(hn::Mul(f, at.load(x + i)), y + i); });
}

// [square x_i^2 | cross x_i x_j, i < j row by row]
HWY_INLINE void packed_row(int64_t D, float square, float cross, const float* x, float* y) {
  const Vec f = hn::Set(Tag(), square);
  for_each_vector(D, [&](int64_t i, auto at) HWY_ATTR {
    const Vec v = at.load(x + i);
    at.store(hn::Mul(hn::Mul(v, v), f), y + i);
  });
  y += D;
  for (int64_t i = 0; i < D; ++i) {
    scaled(D - i - 1, cross * x[i], x + i + 1, y);
    y += D - i - 1;
  }
}

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

void packed_rows(const FeatureArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    packed_row(a.D, 1, static_cast<float>(std::sqrt(2.0)), a.x + n * a.D, a.y + n * (a.D * (a.D + 1) / 2));
  }
}

// y += factor x
HWY_INLINE void add_scaled(int64_t n, float factor, const float* x, float* y) {
  const Vec f = hn::Set(Tag(), factor);
  for_each_vector(n,
                  [&](int64_t i, auto at) HWY_ATTR { at.store(hn::MulAdd(f, at.load(x + i), at.load(y + i)), y + i); });
}

HWY_INLINE float dot(int64_t n, const float* a, const float* b) {
  Vec sum = hn::Zero(Tag());
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR { sum = hn::MulAdd(at.load(a + i), at.load(b + i), sum); });
  return sum_lanes(sum);
}

// dx += the gradient of packed_row.
HWY_INLINE void packed_row_grad(int64_t D, float square, float cross, const float* x, const float* dy, float* dx) {
  for_each_vector(D, [&](int64_t i, auto at) HWY_ATTR {
    const Vec slope = hn::Mul(hn::Mul(at.load(x + i), at.load(dy + i)), hn::Set(Tag(), 2 * square));
    at.store(hn::Add(at.load(dx + i), slope), dx + i);
  });
  dy += D;
  for (int64_t i = 0; i < D; ++i) {
    const int64_t n = D - i - 1;
    dx[i] += cross * dot(n, x + i + 1, dy);
    add_scaled(n, cross * x[i], dy, dx + i + 1);
    dy += n;
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

void packed_grad_rows(const FeatureGradArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    float* dx = a.dx + n * a.D;
    std::fill_n(dx, a.D, 0.0f);
    packed_row_grad(a.D, 1, static_cast<float>(std::sqrt(2.0)), a.x + n * a.D, a.dy + n * (a.D * (a.D + 1) / 2), dx);
  }
}

// Of the table's rows [begin, end).
void add_rows_between(const RowAdder& a, int64_t begin, int64_t end) {
  for (int64_t n = 0; n < a.N; ++n) {
    if (a.rows[n] >= begin && a.rows[n] < end) add_scaled(a.C, 1, a.x + n * a.C, a.table + a.rows[n] * a.C);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(taylor_rows);
HWY_EXPORT(packed_rows);
HWY_EXPORT(taylor_grad_rows);
HWY_EXPORT(packed_grad_rows);
HWY_EXPORT(add_rows_between);

constexpr int64_t kElements = 16384;  // worth a thread

int64_t grain(int64_t elements_a_row) { return std::max<int64_t>(1, kElements / std::max<int64_t>(1, elements_a_row)); }

}  // namespace

void taylor_features(int64_t N, int64_t D, bool packed, const float* x, float* y) noexcept {
  const FeatureArgs args{D, packed, x, y};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(taylor_rows)(args, begin, end); };
  parallel_for(N, grain(D * D), std::ref(body));
}

void packed_squares(int64_t N, int64_t D, const float* x, float* y) noexcept {
  const FeatureArgs args{D, true, x, y};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(packed_rows)(args, begin, end); };
  parallel_for(N, grain(D * D), std::ref(body));
}

void taylor_features_grad(int64_t N, int64_t D, bool packed, const float* x, const float* dy, float* dx) noexcept {
  const FeatureGradArgs args{D, packed, x, dy, dx};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(taylor_grad_rows)(args, begin, end); };
  parallel_for(N, grain(D * D), std::ref(body));
}

void packed_squares_grad(int64_t N, int64_t D, const float* x, const float* dy, float* dx) noexcept {
  const FeatureGradArgs args{D, true, x, dy, dx};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(packed_grad_rows)(args, begin, end); };
  parallel_for(N, grain(D * D), std::ref(body));
}

void embedding(int64_t N, int64_t C, const int64_t* ids, const float* table, float* y) noexcept {
  auto body = [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      std::memcpy(y + n * C, table + ids[n] * C, static_cast<size_t>(C) * sizeof(float));
    }
  };
  parallel_for(N, grain(C), std::ref(body));
}

// Each thread owns a stretch of the table and looks for its rows: no sum depends on who comes first.
void add_to_rows(int64_t N, int64_t C, int64_t V, const int64_t* rows, const float* x, float* table) noexcept {
  const RowAdder args{N, C, rows, x, table};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(add_rows_between)(args, begin, end); };
  const int64_t threads = std::max<int64_t>(1, N * C / kElements);
  parallel_for(V, (V + threads - 1) / threads, std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
