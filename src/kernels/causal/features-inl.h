// Monomials of packed keys and queries, features x time, and the way back; compiled once for each instruction set.
#if defined(REBASED_KERNELS_ATTENTION_FEATURES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_ATTENTION_FEATURES_INL_H_
#undef REBASED_KERNELS_ATTENTION_FEATURES_INL_H_
#else
#define REBASED_KERNELS_ATTENTION_FEATURES_INL_H_
#endif

#include <numbers>

#include "kernels/causal/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

// Factors of the constant, linear and quadratic monomials: the similarity's for queries, 1 for keys.
struct Coefficients {
  float a = 1, b = 1, c = 1;
};

HWY_INLINE Coefficients query_coefficients(const Problem& x) { return {x.a, x.b, x.c}; }

// phi[F, ld] of n tokens x_t[Dk, ld]; zero for the padding tokens. Returns where they are: x_t where it is its own map.
inline const float* features(const Problem& problem, int64_t n, const float* x_t, int64_t ld, Coefficients coefficients,
                             float* phi) {
  const Lanes d;
  const int64_t Dk = problem.Dk;
  const int64_t columns = padded(n);
  if (plain(problem)) return x_t;
  float* row = phi;
  if (problem.constant) {
    for (int64_t t = 0; t < columns; ++t) row[t] = t < n ? coefficients.a : 0;
    row += ld;
  }
  for (int64_t i = 0; problem.linear && i < Dk; ++i, row += ld) {
    const Vec b = hn::Set(d, coefficients.b);
    for (int64_t t = 0; t < columns; t += kLanes) hn::StoreU(hn::Mul(b, hn::LoadU(d, x_t + i * ld + t)), d, row + t);
  }
  if (!problem.quadratic) return phi;
  const Vec c = hn::Set(d, coefficients.c), root = hn::Set(d, coefficients.c * std::numbers::sqrt2_v<float>);
  for (int64_t t = 0; t < columns; t += kLanes) {
    float* square = row + t;
    float* cross = square + Dk * ld;
    for (int64_t i = 0; i < Dk; ++i, square += ld) {
      const Vec x = hn::LoadU(d, x_t + i * ld + t);
      const Vec scaled = hn::Mul(root, x);
      hn::StoreU(hn::Mul(hn::Mul(c, x), x), d, square);
      for (int64_t j = i + 1; j < Dk; ++j, cross += ld) {
        hn::StoreU(hn::Mul(scaled, hn::LoadU(d, x_t + j * ld + t)), d, cross);
      }
    }
  }
  return phi;
}

// dx_t[Dk, ld] of n tokens from dphi[F, ld].
inline void features_grad(const Problem& problem, int64_t n, const float* x_t, int64_t ld, Coefficients coefficients,
                          const float* dphi, float* dx_t) {
  const Lanes d;
  const int64_t Dk = problem.Dk;
  const float* row = problem.constant ? dphi + ld : dphi;
  const Vec b = hn::Set(d, coefficients.b), twice = hn::Set(d, 2 * coefficients.c);
  const Vec root = hn::Set(d, coefficients.c * std::numbers::sqrt2_v<float>);
  for (int64_t t = 0; t < padded(n); t += kLanes) {
    const float* linear = row + t;
    const float* square = problem.linear ? linear + Dk * ld : linear;
    for (int64_t i = 0; i < Dk; ++i) {
      Vec sum = hn::Zero(d);
      if (problem.linear) sum = hn::Mul(b, hn::LoadU(d, linear + i * ld));
      if (problem.quadratic) {
        sum = hn::MulAdd(hn::Mul(twice, hn::LoadU(d, x_t + i * ld + t)), hn::LoadU(d, square + i * ld), sum);
      }
      hn::StoreU(sum, d, dx_t + i * ld + t);
    }
    if (!problem.quadratic) continue;
    const float* cross = square + Dk * ld;
    for (int64_t i = 0; i < Dk; ++i) {
      const Vec x = hn::LoadU(d, x_t + i * ld + t);
      Vec sum = hn::LoadU(d, dx_t + i * ld + t);
      for (int64_t j = i + 1; j < Dk; ++j, cross += ld) {
        const Vec slope = hn::Mul(root, hn::LoadU(d, cross));
        sum = hn::MulAdd(slope, hn::LoadU(d, x_t + j * ld + t), sum);
        hn::StoreU(hn::MulAdd(slope, x, hn::LoadU(d, dx_t + j * ld + t)), d, dx_t + j * ld + t);
      }
      hn::StoreU(sum, d, dx_t + i * ld + t);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
