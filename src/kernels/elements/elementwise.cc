#include <algorithm>
#include <cmath>
#include <functional>
#include <type_traits>

#include "base/threads.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"
#include "kernels/tools/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elements/elementwise.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_KERNELS_ELEMENTWISE_ARGS
#define REBASED_KERNELS_ELEMENTWISE_ARGS
namespace rebased::kernels::cpu {
namespace {
struct UnaryArgs {
  const float* x;
  float* y;
  float scale;
  float shift;
};
struct BinaryArgs {
  int64_t C;
  const float* a;
  const float* b;
  Broadcast how;
  float* y;
};
struct UnaryGradArgs {
  const float* x;
  const float* dy;
  float* dx;
};
struct RowSumArgs {
  int64_t C;
  const float* x;
  float* sums;
};
struct ColumnArgs {
  int64_t N, C;
  const float* x;
  float* sums;
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// Phi(x), the distribution of a normal number, by erfc(z) = t exp(-z^2 + p(t)), t = 1 / (1 + z/2), z = |x| / sqrt(2):
// the form of Chebyshev fit that keeps the relative error of the far tail (1.6e-7 here, fitted for z <= 10).
HWY_INLINE Vec normal_below(Tag d, Vec x) {
  constexpr float kFit[] = {-1.265447997f,   0.9986327833f,  0.3866404122f, 0.03460279999f, 0.001267586418f,
                            -0.08028043229f, -0.6962518988f, 1.156733757f,  -0.6808271777f, 0.1449302137f};
  const Vec one = hn::Set(d, 1.0f);
  const Vec half = hn::Set(d, 0.5f);
  const Vec limit = hn::Set(d, 28.0f);
  Vec size = hn::Abs(x);
  size = hn::IfThenElse(hn::Gt(size, limit), limit, size);
  const Vec z = hn::Mul(size, hn::Set(d, 0.707106781f));
  const Vec t = hn::Div(one, hn::MulAdd(half, z, one));
  Vec p = hn::Set(d, kFit[9]);
  for (int i = 8; i >= 0; --i) p = hn::MulAdd(p, t, hn::Set(d, kFit[i]));
  const Vec square = hn::Mul(hn::Mul(half, size), size);
  const Vec lost = hn::MulSub(hn::Mul(half, size), size, square);  // what the product rounded away
  const Vec tail = hn::Mul(hn::Mul(half, t), exp_nonpositive(d, hn::Sub(hn::Sub(p, lost), square)));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail));
}

HWY_INLINE Vec normal_density(Tag d, Vec x) {
  const Vec square = hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5f));
  return hn::Mul(hn::Set(d, 0.398942280f), exp_any(d, square));
}

template <Unary kOp>
HWY_INLINE Vec apply(Tag d, Vec x) {
  if constexpr (kOp == Unary::kSilu) {
    return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_any(d, hn::Neg(x))));
  } else if constexpr (kOp == Unary::kGelu) {
    return hn::Mul(x, normal_below(d, x));
  } else if constexpr (kOp == Unary::kRelu) {
    return hn::IfThenZeroElse(hn::Le(x, hn::Zero(d)), x);
  } else if constexpr (kOp == Unary::kElu) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Expm1(d, x));
  } else if constexpr (kOp == Unary::kExp) {
    return exp_any(d, x);
  } else if constexpr (kOp == Unary::kSquare) {
    return hn::Mul(x, x);
  } else if constexpr (kOp == Unary::kTanh) {
    return hn::Tanh(d, x);
  } else {
    return sigmoid(d, x);
  }
}

template <Unary kOp>
HWY_INLINE Vec slope(Tag d, Vec x) {
  const Vec one = hn::Set(d, 1.0f);
  if constexpr (kOp == Unary::kSilu) {
    const Vec s = sigmoid(d, x);
    return hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one));
  } else if constexpr (kOp == Unary::kGelu) {
    return hn::MulAdd(x, normal_density(d, x), normal_below(d, x));
  } else if constexpr (kOp == Unary::kRelu) {
    return hn::IfThenZeroElse(hn::Le(x, hn::Zero(d)), one);
  } else if constexpr (kOp == Unary::kElu) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), one, exp_any(d, x));
  } else if constexpr (kOp == Unary::kExp) {
    return exp_any(d, x);
  } else if constexpr (kOp == Unary::kSquare) {
    return hn::Add(x, x);
  } else if constexpr (kOp == Unary::kTanh) {
    const Vec y = hn::Tanh(d, x);
    return hn::NegMulAdd(y, y, one);
  } else {
    const Vec s = sigmoid(d, x);
    return hn::Mul(s, hn::Sub(one, s));
  }
}

template <Unary kOp>
void unary_range(const UnaryArgs& a, int64_t begin, int64_t end) {
  for_each_vector(end - begin, [&](int64_t i, auto at) HWY_ATTR {
    at.store(apply<kOp>(Tag(), at.load(a.x + begin + i)), a.y + begin + i);
  });
}

template <Unary kOp>
void unary_grad_range(const UnaryGradArgs& a, int64_t begin, int64_t end) {
  for_each_vector(end - begin, [&](int64_t i, auto at) HWY_ATTR {
    const int64_t k = begin + i;
    at.store(hn::Mul(at.load(a.dy + k), slope<kOp>(Tag(), at.load(a.x + k))), a.dx + k);
  });
}

// Calls run with `op` as a constant of its type.
template <class Run>
HWY_INLINE void with_constant(Unary op, const Run& run) {
  using U = Unary;
  switch (op) {
    case U::kSilu:
      return run(std::integral_constant<U, U::kSilu>());
    case U::kGelu:
      return run(std::integral_constant<U, U::kGelu>());
    case U::kRelu:
      return run(std::integral_constant<U, U::kRelu>());
    case U::kElu:
      return run(std::integral_constant<U, U::kElu>());
    case U::kExp:
      return run(std::integral_constant<U, U::kExp>());
    case U::kSquare:
      return run(std::integral_constant<U, U::kSquare>());
    case U::kTanh:
      return run(std::integral_constant<U, U::kTanh>());
    case U::kSigmoid:
      return run(std::integral_constant<U, U::kSigmoid>());
  }
}

void unary_dispatch(Unary op, const UnaryArgs& a, int64_t begin, int64_t end) {
  with_constant(op, [&](auto constant) { unary_range<constant()>(a, begin, end); });
}

void unary_grad_dispatch(Unary op, const UnaryGradArgs& a, int64_t begin, int64_t end) {
  with_constant(op, [&](auto constant) { unary_grad_range<constant()>(a, begin, end); });
}

void row_sums(const RowSumArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    Vec sum = hn::Zero(Tag());
    for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR { sum = hn::Add(sum, at.load(a.x + n * a.C + c)); });
    a.sums[n] = sum_lanes(sum);
  }
}

// Columns [begin, end); rows in runs of kRun, whose sums are added up.
void column_sums(const ColumnArgs& a, int64_t begin, int64_t end) {
  constexpr int64_t kRun = 64;
  for_each_vector(end - begin, [&](int64_t i, auto at) HWY_ATTR {
    Vec sum = hn::Zero(Tag());
    for (int64_t n = 0; n < a.N;) {
      Vec run = hn::Zero(Tag());
      for (const int64_t stop = std::min(a.N, n + kRun); n < stop; ++n) {
        run = hn::Add(run, at.load(a.x + n * a.C + begin + i));
      }
      sum = hn::Add(sum, run);
    }
    at.store(sum, a.sums + begin + i);
  });
}

void scale_shift_range(const UnaryArgs& a, int64_t begin, int64_t end) {
  const Vec scale = hn::Set(Tag(), a.scale);
  const Vec shift = hn::Set(Tag(), a.shift);
  for_each_vector(end - begin, [&](int64_t i, auto at) HWY_ATTR {
    at.store(hn::MulAdd(at.load(a.x + begin + i), scale, shift), a.y + begin + i);
  });
}

template <bool kMul>
HWY_INLINE Vec combine(Vec a, Vec b) {
  if constexpr (kMul) return hn::Mul(a, b);
  return hn::Add(a, b);
}

// Rows [begin, end); kSame comes as one column.
template <bool kMul>
void binary_rows(const BinaryArgs& a, int64_t begin, int64_t end) {
  if (a.how == Broadcast::kSame) {
    return for_each_vector((end - begin) * a.C, [&](int64_t i, auto at) HWY_ATTR {
      const int64_t k = begin * a.C + i;
      at.store(combine<kMul>(at.load(a.a + k), at.load(a.b + k)), a.y + k);
    });
  }
  for (int64_t n = begin; n < end; ++n) {
    const float* row = a.a + n * a.C;
    float* y = a.y + n * a.C;
    if (a.how == Broadcast::kRow) {
      for_each_vector(a.C, [&](int64_t c, auto at)
                               HWY_ATTR { at.store(combine<kMul>(at.load(row + c), at.load(a.b + c)), y + c); });
    } else {
      const Vec b = hn::Set(Tag(), a.b[n]);
      for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR { at.store(combine<kMul>(at.load(row + c), b), y + c); });
    }
  }
}

void add_rows(const BinaryArgs& a, int64_t begin, int64_t end) { binary_rows<false>(a, begin, end); }
void mul_rows(const BinaryArgs& a, int64_t begin, int64_t end) { binary_rows<true>(a, begin, end); }

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(unary_dispatch);
HWY_EXPORT(unary_grad_dispatch);
HWY_EXPORT(row_sums);
HWY_EXPORT(column_sums);
HWY_EXPORT(scale_shift_range);
HWY_EXPORT(add_rows);
HWY_EXPORT(mul_rows);

constexpr int64_t kGrain = 8192;  // elements worth a thread

}  // namespace

void unary(Unary op, int64_t n, const float* x, float* y) noexcept {
  const UnaryArgs args{x, y, 1, 0};
  auto body = [&args, op](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(unary_dispatch)(op, args, begin, end); };
  parallel_for(n, kGrain, std::ref(body));
}

void unary_grad(Unary op, int64_t n, const float* x, const float* dy, float* dx) noexcept {
  const UnaryGradArgs args{x, dy, dx};
  auto body = [&args, op](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(unary_grad_dispatch)(op, args, begin, end);
  };
  parallel_for(n, kGrain, std::ref(body));
}

void sum_rows(int64_t N, int64_t C, const float* x, float* y) noexcept {
  over_rows<RowSumArgs>(N, C, kGrain, {C, x, y}, HWY_DYNAMIC_DISPATCH(row_sums));
}

void sum_columns(int64_t N, int64_t C, const float* x, float* sums) noexcept {
  const ColumnArgs args{N, C, x, sums};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(column_sums)(args, begin, end); };
  parallel_for(C, std::max<int64_t>(16, kGrain / std::max<int64_t>(1, N)), std::ref(body));
}

void scale_shift(int64_t n, const float* x, double scale, double shift, float* y) noexcept {
  const UnaryArgs args{x, y, static_cast<float>(scale), static_cast<float>(shift)};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(scale_shift_range)(args, begin, end); };
  parallel_for(n, kGrain, std::ref(body));
}

void add(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept {
  const bool same = how == Broadcast::kSame;
  const int64_t width = same ? 1 : C;
  over_rows<BinaryArgs>(same ? N * C : N, width, kGrain, {width, a, b, how, y}, HWY_DYNAMIC_DISPATCH(add_rows));
}

void mul(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept {
  const bool same = how == Broadcast::kSame;
  const int64_t width = same ? 1 : C;
  over_rows<BinaryArgs>(same ? N * C : N, width, kGrain, {width, a, b, how, y}, HWY_DYNAMIC_DISPATCH(mul_rows));
}

}  // namespace rebased::kernels::cpu
#endif
