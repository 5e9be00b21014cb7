// Small matrix products and layout changes on packed, padded buffers; compiled once for each instruction set.
#if defined(REBASED_KERNELS_ATTENTION_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_ATTENTION_PRODUCT_INL_H_
#undef REBASED_KERNELS_ATTENTION_PRODUCT_INL_H_
#else
#define REBASED_KERNELS_ATTENTION_PRODUCT_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/causal/problem.h"
#include "kernels/tools/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using cpu::HWY_NAMESPACE::lanes::kManyRegisters;
using cpu::HWY_NAMESPACE::lanes::load_first;
using cpu::HWY_NAMESPACE::lanes::store_first;
using cpu::HWY_NAMESPACE::lanes::sums_of_lanes;
using cpu::HWY_NAMESPACE::lanes::transpose;
using cpu::HWY_NAMESPACE::lanes::transpose_any;
using Lanes = hn::CappedTag<float, kPad>;
using Vec = hn::Vec<Lanes>;
constexpr int64_t kLanes = hn::MaxLanes(Lanes());

// Element (m, k) of a left operand: a[m * step + k], or a[k * step + m] when kTransposed.
template <bool kTransposed>
HWY_INLINE const float* left_at(const float* a, int64_t step, int64_t m, int64_t k) {
  return kTransposed ? a + k * step + m : a + m * step + k;
}

// sum[kRows, kVecs] += a b over K, in registers.
template <int kRows, int kVecs, bool kTransposed>
HWY_INLINE void add_product(int64_t K, const float* HWY_RESTRICT a, int64_t step, const float* HWY_RESTRICT b,
                            int64_t ldb, Vec (&sum)[kRows][kVecs]) {
  const Lanes d;
  for (int64_t k = 0; k < K; ++k) {
    Vec row[kVecs];
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) row[n] = hn::LoadU(d, b + k * ldb + n * kLanes);
    HWY_UNROLL(16)
    for (int m = 0; m < kRows; ++m) {
      const Vec left = hn::Set(d, *left_at<kTransposed>(a, step, m, k));
      HWY_UNROLL(4)
      for (int n = 0; n < kVecs; ++n) sum[m][n] = hn::MulAdd(left, row[n], sum[m][n]);
    }
  }
}

// The same, fetching a line of `lines` in a step, while they last.
template <int kRows, int kVecs, bool kTransposed, class Source>
HWY_INLINE void add_product_and_fetch(int64_t K, const float* HWY_RESTRICT a, int64_t step, const float* HWY_RESTRICT b,
                                      int64_t ldb, Vec (&sum)[kRows][kVecs], Source lines) {
  Lines ahead = kManyRegisters ? take_lines(lines, K) : Lines();
  for (int64_t k = 0; k < ahead.count; ++k) {
    ahead.fetch();
    add_product<kRows, kVecs, kTransposed>(1, left_at<kTransposed>(a, step, 0, k), step, b + k * ldb, ldb, sum);
  }
  const int64_t k = ahead.count;
  add_product<kRows, kVecs, kTransposed>(K - k, left_at<kTransposed>(a, step, 0, k), step, b + k * ldb, ldb, sum);
}

template <int kRows, int kVecs, bool kTransposed, bool kAdd, class Source>
HWY_INLINE void product_tile(int64_t K, const float* HWY_RESTRICT a, int64_t step, const float* HWY_RESTRICT b,
                             int64_t ldb, float* HWY_RESTRICT c, int64_t ldc, Source lines) {
  const Lanes d;
  Vec sum[kRows][kVecs];
  HWY_UNROLL(16)
  for (int m = 0; m < kRows; ++m) {
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) sum[m][n] = kAdd ? hn::LoadU(d, c + m * ldc + n * kLanes) : hn::Zero(d);
  }
  add_product_and_fetch<kRows, kVecs, kTransposed>(K, a, step, b, ldb, sum, lines);
  HWY_UNROLL(16)
  for (int m = 0; m < kRows; ++m) {
    HWY_UNROLL(4)
    for (int n = 0; n < kVecs; ++n) hn::StoreU(sum[m][n], d, c + m * ldc + n * kLanes);
  }
}

// Calls body(count, m) for as many of M rows at a time as the registers hold sums of, beside kVecs vectors; then for
// what is left.
template <int kVecs, class Body>
HWY_INLINE void for_row_tiles(int64_t M, const Body& body) {
  constexpr int kRows = !kManyRegisters ? 4 : kVecs == 4 ? 6 : 8;
  int64_t m = 0;
  auto rows = [&](auto count) {
    for (; m + count <= M; m += count) body(count, m);
  };
  rows(std::integral_constant<int, kRows>());
  if constexpr (kRows > 4) rows(std::integral_constant<int, 4>());
  rows(std::integral_constant<int, 2>());
  rows(std::integral_constant<int, 1>());
}

// Calls body(vectors, n) for panels of N columns; N is a multiple of kPad.
template <class Body>
HWY_INLINE void for_panels(int64_t N, const Body& body) {
  const auto panel = [&](auto vectors, int64_t n) -> int64_t {
    body(vectors, n);
    return vectors * kLanes;
  };
  constexpr int kFour = kManyRegisters ? 4 : 1, kThree = kManyRegisters ? 3 : 1;
  for (int64_t n = 0; n < N;) {
    const int64_t left = (N - n) / kLanes;
    if (kManyRegisters && left == 4) {
      n += panel(std::integral_constant<int, kFour>(), n);
    } else if (kManyRegisters && left >= 3) {
      n += panel(std::integral_constant<int, kThree>(), n);
    } else if (left >= 2) {
      n += panel(std::integral_constant<int, 2>(), n);
    } else {
      n += panel(std::integral_constant<int, 1>(), n);
    }
  }
}

template <int kVecs, bool kTransposed, bool kAdd, class Source>
HWY_INLINE void product_panel(int64_t M, int64_t K, const float* a, int64_t step, const float* b, int64_t ldb, float* c,
                              int64_t ldc, Source lines) {
  for_row_tiles<kVecs>(M, [=](auto count, int64_t m) {
    product_tile<count, kVecs, kTransposed, kAdd>(K, left_at<kTransposed>(a, step, m, 0), step, b, ldb, c + m * ldc,
                                                  ldc, lines);
  });
}

// c[M, N] (+)= a[M, K] b[K, N]; N is a multiple of kPad.
template <bool kTransposed, bool kAdd, class Source = NoLines>
HWY_NOINLINE void product(int64_t M, int64_t N, int64_t K, const float* a, int64_t step, const float* b, int64_t ldb,
                          float* c, int64_t ldc, Source lines = {}) {
  for_panels(N, [=](auto vectors, int64_t n) {
    product_panel<vectors, kTransposed, kAdd>(M, K, a, step, b + n, ldb, c + n, ldc, lines);
  });
}

HWY_INLINE void clear(int64_t n, float* x) {
  if (n > 0) std::memset(x, 0, static_cast<size_t>(n) * sizeof(float));
}

// to[0..D) = factor * from[0..D), then `last` where there is room, then zeros up to column ld, a multiple of kPad.
HWY_INLINE void pack_row(int64_t D, const float* from, float factor, float last, float* to, int64_t ld) {
  const Lanes d;
  const Vec f = hn::Set(d, factor);
  int64_t j = 0;
  for (; j + kLanes <= D; j += kLanes) hn::StoreU(hn::Mul(f, hn::LoadU(d, from + j)), d, to + j);
  if (j < D) hn::StoreU(hn::Mul(f, load_first(d, from + j, D - j)), d, to + j);
  for (j = (D + kLanes - 1) / kLanes * kLanes; j < ld; j += kLanes) hn::StoreU(hn::Zero(d), d, to + j);
  if (D < ld) to[D] = last;
}

// Where packing prefetches while it copies: a row for each row, `stride` floats apart.
struct Ahead {
  const float* from;
  int64_t stride;
};

inline void fetch_rows(int64_t n, int64_t D, Ahead ahead) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < D; j += kPad) hwy::Prefetch(ahead.from + i * ahead.stride + j);
  }
}

// n such rows, and zero rows down to row padded(n).
inline void pack_rows(int64_t n, int64_t D, const float* from, int64_t stride, float factor, float last, float* to,
                      int64_t ld, Ahead ahead) {
  if (D == kPad && ld == kPad) {
    const Lanes d;
    for (int64_t i = 0; i < n; ++i) {
      hwy::Prefetch(ahead.from + i * ahead.stride);
      for (int64_t j = 0; j < kPad; j += kLanes) {
        hn::StoreU(hn::Mul(hn::Set(d, factor), hn::LoadU(d, from + i * stride + j)), d, to + i * kPad + j);
      }
    }
    return clear((padded(n) - n) * kPad, to + n * kPad);
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < D; j += kPad) hwy::Prefetch(ahead.from + i * ahead.stride + j);
    pack_row(D, from + i * stride, factor, last, to + i * ld, ld);
  }
  clear((padded(n) - n) * ld, to + n * ld);
}

// to[e, i] = from[i, e]: D short rows, zeros up to column padded(n).
inline void pack_columns(int64_t n, int64_t D, const float* from, int64_t stride, float* to, int64_t ld) {
  for (int64_t e = 0; e < D; ++e) {
    for (int64_t i = 0; i < n; ++i) to[e * ld + i] = from[i * stride + e];
    clear(padded(n) - n, to + e * ld + n);
  }
}

// to[i, 0..D) = factor * from[i, 0..D) for n rows.
inline void unpack_rows(int64_t n, int64_t D, const float* from, int64_t ld, float factor, float* to, int64_t stride) {
  const Lanes d;
  const Vec f = hn::Set(d, factor);
  if (D == kPad) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < kPad; j += kLanes) {
        hn::StoreU(hn::Mul(f, hn::LoadU(d, from + i * ld + j)), d, to + i * stride + j);
      }
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i, from += ld, to += stride) {
    int64_t j = 0;
    for (; j + kLanes <= D; j += kLanes) hn::StoreU(hn::Mul(f, hn::LoadU(d, from + j)), d, to + j);
    if (j < D) store_first(d, hn::Mul(f, hn::LoadU(d, from + j)), to + j, D - j);
  }
}

// to[i, e] = from[e, i] for n rows of D.
inline void unpack_columns(int64_t n, int64_t D, const float* from, int64_t ld, float* to, int64_t stride) {
  for (int64_t e = 0; e < D; ++e) {
    for (int64_t i = 0; i < n; ++i) to[i * stride + e] = from[e * ld + i];
  }
}

// Partial sums of x[i] * weight[i], or of x[i] alone when weight is null; n is a multiple of kPad.
HWY_INLINE Vec lane_sums(int64_t n, const float* x, const float* weight) {
  const Lanes d;
  Vec sum = hn::Zero(d);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec value = hn::LoadU(d, x + i);
    sum = weight == nullptr ? hn::Add(sum, value) : hn::MulAdd(value, hn::LoadU(d, weight + i), sum);
  }
  return sum;
}

// sum[m * sum_step] += sum of x[m, 0..n) * weight, or of x[m, 0..n) alone when weight is null; n is a multiple of kPad.
inline void add_row_sums(int64_t M, int64_t n, const float* x, int64_t ld, const float* weight, float* sum,
                         int64_t sum_step) {
  const Lanes d;
  for (int64_t m = 0; m < M; m += 4) {
    const int64_t rows = std::min<int64_t>(4, M - m);
    const auto row = [&](int64_t r) { return lane_sums(n, x + (m + std::min(r, rows - 1)) * ld, weight); };
    float sums[4];
    sums_of_lanes(d, row(0), row(1), row(2), row(3), sums);
    for (int64_t r = 0; r < rows; ++r) sum[(m + r) * sum_step] += sums[r];
  }
}

// sum[0..n) += sum over k of weight[k * weight_step] rows[k, 0..n); n is a multiple of kPad. Four partial sums hide the
// latency of an addition.
inline void add_weighted_rows(int64_t K, int64_t n, const float* rows, int64_t ld, const float* weight,
                              int64_t weight_step, float* sum) {
  const Lanes d;
  for (int64_t i = 0; i < n; i += kLanes) {
    const auto add = [&](int64_t k, Vec& total) {
      total = hn::MulAdd(hn::Set(d, weight[k * weight_step]), hn::LoadU(d, rows + k * ld + i), total);
    };
    Vec total[4] = {hn::LoadU(d, sum + i), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    int64_t k = 0;
    for (; k + 4 <= K; k += 4) {
      for (int64_t r = 0; r < 4; ++r) add(k + r, total[r]);
    }
    for (; k < K; ++k) add(k, total[0]);
    hn::StoreU(hn::Add(hn::Add(total[0], total[1]), hn::Add(total[2], total[3])), d, sum + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
