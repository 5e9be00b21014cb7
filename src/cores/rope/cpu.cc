#include "cores/rope/kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/rope/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// Rotates `pairs` pairs (first[i], second[i]) by the angles whose cosines and sines are given.
HWY_INLINE void rotate_pairs(int64_t pairs, const float* cosine, const float* sine, const float* first,
                             const float* second, float* y_first, float* y_second) {
  for_each_vector(pairs, [&](int64_t i, auto at) HWY_ATTR {
    const Vec c = at.load(cosine + i);
    const Vec s = at.load(sine + i);
    const Vec a = at.load(first + i);
    const Vec b = at.load(second + i);
    at.store(hn::NegMulAdd(b, s, hn::Mul(a, c)), y_first + i);
    at.store(hn::MulAdd(a, s, hn::Mul(b, c)), y_second + i);
  });
}

// Tokens [begin, end) of the flattened [B, T]. Angles are computed in double, once a token for all heads.
void rope_tokens(const RopeArgs<float>& a, int64_t begin, int64_t end) {
  constexpr int64_t kBlock = 64;
  const int64_t half = a.rotary / 2;
  double frequency[kBlock];
  float cosine[kBlock];
  float sine[kBlock];
  for (int64_t i0 = 0; i0 < half; i0 += kBlock) {
    const int64_t pairs = std::min(kBlock, half - i0);
    for (int64_t i = 0; i < pairs; ++i) {
      frequency[i] = std::pow(a.base, -2.0 * static_cast<double>(i0 + i) / static_cast<double>(a.rotary));
    }
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < pairs; ++i) {
        const double angle = static_cast<double>(a.positions[t]) * frequency[i];
        cosine[i] = static_cast<float>(std::cos(angle));
        sine[i] = static_cast<float>(a.backwards ? -std::sin(angle) : std::sin(angle));
      }
      for (int64_t h = 0; h < a.H; ++h) {
        const int64_t at = (t * a.H + h) * a.D + i0;
        rotate_pairs(pairs, cosine, sine, a.x + at, a.x + at + half, a.y + at, a.y + at + half);
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

HWY_EXPORT(rope_tokens);

void pass_through(const RopeArgs<float>& a, int64_t begin, int64_t end) {
  const auto bytes = static_cast<size_t>(a.D - a.rotary) * sizeof(float);
  if (a.x == a.y || bytes == 0) return;
  for (int64_t row = begin * a.H; row < end * a.H; ++row) {
    std::memcpy(a.y + row * a.D + a.rotary, a.x + row * a.D + a.rotary, bytes);
  }
}

}  // namespace

void rope(const RopeArgs<float>& args) noexcept {
  auto body = [&args](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rope_tokens)(args, begin, end);
    pass_through(args, begin, end);
  };
  parallel_for(args.B * args.T, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, args.H * args.D)), std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
