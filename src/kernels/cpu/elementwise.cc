#include <algorithm>
#include <cmath>
#include <functional>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#ifndef REBASED_KERNELS_CPU_ELEMENTWISE_ARGS
#define REBASED_KERNELS_CPU_ELEMENTWISE_ARGS
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
struct SwigluArgs {
  int64_t C;
  const float* x;   // [N, 2 C]
  const float* dy;  // [N, C], for the gradient
  float* out;       // y [N, C] or dx [N, 2 C]
};
struct DropoutArgs {
  uint32_t key_low;
  uint32_t key_high;
  uint32_t threshold;  // of 2^24: the element is kept when the hash's upper 24 bits reach it
  float scale;
  const float* x;
  float* y;
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// x Phi(x) with Phi by erfc(z) = t exp(-z^2 + p(t)), t = 1 / (1 + z/2), z = |x| / sqrt(2): the form of Chebyshev fit
// that keeps the relative error of the far tail (1.6e-7 here, fitted for z <= 10).
HWY_INLINE Vec gelu(Tag d, Vec x) {
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
  return hn::Mul(x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail)));
}

template <Unary kOp>
HWY_INLINE Vec apply(Tag d, Vec x) {
  if constexpr (kOp == Unary::kSilu) {
    return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_any(d, hn::Neg(x))));
  } else if constexpr (kOp == Unary::kGelu) {
    return gelu(d, x);
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
void unary_range(const UnaryArgs& a, int64_t begin, int64_t end) {
  for_each_vector(end - begin, [&](int64_t i, auto at) HWY_ATTR {
    at.store(apply<kOp>(Tag(), at.load(a.x + begin + i)), a.y + begin + i);
  });
}

void unary_dispatch(Unary op, const UnaryArgs& a, int64_t begin, int64_t end) {
  switch (op) {
    case Unary::kSilu:
      return unary_range<Unary::kSilu>(a, begin, end);
    case Unary::kGelu:
      return unary_range<Unary::kGelu>(a, begin, end);
    case Unary::kRelu:
      return unary_range<Unary::kRelu>(a, begin, end);
    case Unary::kElu:
      return unary_range<Unary::kElu>(a, begin, end);
    case Unary::kExp:
      return unary_range<Unary::kExp>(a, begin, end);
    case Unary::kSquare:
      return unary_range<Unary::kSquare>(a, begin, end);
    case Unary::kTanh:
      return unary_range<Unary::kTanh>(a, begin, end);
    case Unary::kSigmoid:
      return unary_range<Unary::kSigmoid>(a, begin, end);
  }
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

void swiglu_rows(const SwigluArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    const float *up = a.x + n * 2 * a.C, *gate = up + a.C;
    float* y = a.out + n * a.C;
    for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
      at.store(hn::Mul(at.load(up + c), apply<Unary::kSilu>(Tag(), at.load(gate + c))), y + c);
    });
  }
}

void swiglu_grad_rows(const SwigluArgs& a, int64_t begin, int64_t end) {
  const Vec one = hn::Set(Tag(), 1.0f);
  for (int64_t n = begin; n < end; ++n) {
    const float *up = a.x + n * 2 * a.C, *gate = up + a.C, *dy = a.dy + n * a.C;
    float *d_up = a.out + n * 2 * a.C, *d_gate = d_up + a.C;
    for_each_vector(a.C, [&](int64_t c, auto at) HWY_ATTR {
      const Vec g = at.load(gate + c), s = sigmoid(Tag(), g), slope = hn::Mul(at.load(dy + c), s);
      const Vec bend = hn::MulAdd(g, hn::Sub(one, s), one);
      const Vec by_gate = hn::Mul(hn::Mul(slope, at.load(up + c)), bend);
      at.store(hn::Mul(slope, g), d_up + c);
      at.store(by_gate, d_gate + c);
    });
  }
}

// Elements [begin, end) of one stretch of 2^32.
void dropout_range(const DropoutArgs& a, int64_t begin, int64_t end) {
  const Tag d;
  const hn::Rebind<uint32_t, Tag> du;
  const IntTag di;
  const auto low = hn::Set(du, a.key_low);
  const auto high = hn::Set(du, a.key_high);
  const auto threshold = hn::Set(di, static_cast<int32_t>(a.threshold));
  const Vec scale = hn::Set(d, a.scale);
  for_each_vector(end - begin, [&](int64_t i, auto at) HWY_ATTR {
    auto h = hn::Xor(hn::Iota(du, static_cast<uint32_t>(begin + i)), low);
    h = hn::Mul(hn::Xor(h, hn::ShiftRight<16>(h)), hn::Set(du, 0x7feb352dU));
    h = hn::Mul(hn::Xor(h, hn::ShiftRight<15>(h)), hn::Set(du, 0x846ca68bU));
    h = hn::Add(hn::Xor(h, hn::ShiftRight<16>(h)), high);
    h = hn::Mul(hn::Xor(h, hn::ShiftRight<16>(h)), hn::Set(du, 0x7feb352dU));
    const auto bits = hn::BitCast(di, hn::ShiftRight<8>(hn::Xor(h, hn::ShiftRight<15>(h))));
    const auto dropped = hn::RebindMask(d, hn::Lt(bits, threshold));
    at.store(hn::IfThenZeroElse(dropped, hn::Mul(at.load(a.x + begin + i), scale)), a.y + begin + i);
  });
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(unary_dispatch);
HWY_EXPORT(scale_shift_range);
HWY_EXPORT(add_rows);
HWY_EXPORT(mul_rows);
HWY_EXPORT(swiglu_rows);
HWY_EXPORT(swiglu_grad_rows);
HWY_EXPORT(dropout_range);

constexpr int64_t kGrain = 16384;  // elements worth a thread

template <class Args>
void over_rows(int64_t N, const Args& args, void (*rows)(const Args&, int64_t, int64_t)) {
  auto body = [&args, rows](int64_t begin, int64_t end) { rows(args, begin, end); };
  parallel_for(N, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, args.C)), std::ref(body));
}

}  // namespace

void unary(Unary op, int64_t n, const float* x, float* y) noexcept {
  const UnaryArgs args{x, y, 1, 0};
  auto body = [&args, op](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(unary_dispatch)(op, args, begin, end); };
  parallel_for(n, kGrain, std::ref(body));
}

void scale_shift(int64_t n, const float* x, double scale, double shift, float* y) noexcept {
  const UnaryArgs args{x, y, static_cast<float>(scale), static_cast<float>(shift)};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(scale_shift_range)(args, begin, end); };
  parallel_for(n, kGrain, std::ref(body));
}

void add(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept {
  const bool same = how == Broadcast::kSame;
  over_rows<BinaryArgs>(same ? N * C : N, {same ? 1 : C, a, b, how, y}, HWY_DYNAMIC_DISPATCH(add_rows));
}

void mul(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept {
  const bool same = how == Broadcast::kSame;
  over_rows<BinaryArgs>(same ? N * C : N, {same ? 1 : C, a, b, how, y}, HWY_DYNAMIC_DISPATCH(mul_rows));
}

void swiglu(int64_t N, int64_t C, const float* x, float* y) noexcept {
  over_rows<SwigluArgs>(N, {C, x, nullptr, y}, HWY_DYNAMIC_DISPATCH(swiglu_rows));
}

void swiglu_grad(int64_t N, int64_t C, const float* x, const float* dy, float* dx) noexcept {
  over_rows<SwigluArgs>(N, {C, x, dy, dx}, HWY_DYNAMIC_DISPATCH(swiglu_grad_rows));
}

void dropout(int64_t n, uint64_t key, double p, const float* x, float* y) noexcept {
  const auto threshold = static_cast<uint32_t>(std::lround(std::clamp(p, 0.0, 1.0) * 0x1p24));
  const float scale = p < 1 ? static_cast<float>(1 / (1 - p)) : 0.0f;
  constexpr int64_t kStretch = int64_t{1} << 32;  // the hash is a permutation of 32-bit counters: one key a stretch
  for (int64_t start = 0; start < n; start += kStretch) {
    const uint64_t mixed = mix64(key ^ mix64(static_cast<uint64_t>(start / kStretch)));
    const DropoutArgs args{
        static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32), threshold, scale, x + start, y + start};
    auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(dropout_range)(args, begin, end); };
    parallel_for(std::min(kStretch, n - start), kGrain, std::ref(body));
  }
}

}  // namespace rebased::kernels::cpu
#endif
