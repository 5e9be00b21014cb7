// Operands of a product rounded to bfloat16 and laid out in pairs; compiled once for each instruction set.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/products/bf16_lanes-inl.h"
#include "kernels/products/bf16_plan.h"
#include "kernels/tools/transpose-inl.h"

#if defined(REBASED_KERNELS_BF16_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_BF16_PACK_INL_H_
#undef REBASED_KERNELS_BF16_PACK_INL_H_
#else
#define REBASED_KERNELS_BF16_PACK_INL_H_
#endif

#if HWY_TARGET <= HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16 {

// Numbers of a matrix as they are read: 16 columns of two rows as pairs, or 8 columns of four rows as pairs in four
// blocks of 128 bits.

struct FloatNumbers {
  using Number = float;
  static HWY_INLINE Pairs pairs_of_rows(const float* first, const float* second, int64_t n) {
    return round_pairs(load_some(first, n), second ? load_some(second, n) : hn::Zero(Tag()));
  }
  static HWY_INLINE Pairs four_rows(const float* r0, const float* r1, const float* r2, const float* r3) {
    return round_two(two_rows(r0, r1), two_rows(r2, r3));
  }

 private:
  static HWY_INLINE Vec load_some(const float* p, int64_t n) {
    return n >= kMaxLanes ? hn::LoadU(Tag(), p) : load_first(Tag(), p, n);
  }
  static HWY_INLINE Vec two_rows(const float* first, const float* second) {
    const hn::Half<Tag> half;
    return hn::Combine(Tag(), hn::LoadU(half, second), hn::LoadU(half, first));
  }
};

struct Bf16Numbers {
  using Number = uint16_t;
  static HWY_INLINE Pairs pairs_of_rows(const uint16_t* first, const uint16_t* second, int64_t n) {
    const Pairs low = widen(first, n);
    return second ? hn::Or(low, hn::ShiftLeft<16>(widen(second, n))) : low;
  }
  static HWY_INLINE Pairs four_rows(const uint16_t* r0, const uint16_t* r1, const uint16_t* r2, const uint16_t* r3) {
    return hn::Combine(PairTag(), two_rows(r2, r3), two_rows(r0, r1));
  }

 private:
  using Numbers = hn::Rebind<uint16_t, Tag>;
  static HWY_INLINE Pairs widen(const uint16_t* p, int64_t n) {
    const auto some = n >= kMaxLanes ? hn::LoadU(Numbers(), p)
                                     : hn::MaskedLoad(hn::FirstN(Numbers(), static_cast<size_t>(n)), Numbers(), p);
    return hn::PromoteTo(PairTag(), some);
  }
  static HWY_INLINE hn::Vec<hn::Half<PairTag>> two_rows(const uint16_t* first, const uint16_t* second) {
    const hn::CappedTag<uint16_t, 8> eight;
    return hn::BitCast(hn::Half<PairTag>(), hn::Combine(Numbers(), hn::LoadU(eight, second), hn::LoadU(eight, first)));
  }
};

// Rows of [K, width], from some column on, become pairs of rows: store(pair, n, pairs) for 16 columns from n on, of
// which `columns` exist.
template <class Source, class Store>
HWY_INLINE void pair_rows(const typename Source::Number* from, int64_t width, int64_t K, int64_t columns,
                          const Store& store) {
  for (int64_t k = 0; k < K; k += 2, from += 2 * width) {
    const auto* second = k + 1 < K ? from + width : nullptr;
    for (int64_t n = 0; n < columns; n += kMaxLanes) {
      store(k / 2, n, Source::pairs_of_rows(from + n, second ? second + n : nullptr, std::min(columns - n, kMaxLanes)));
    }
  }
}

// 8 columns of 16 rows become four rows of 16 pairs, ld_to apart.
template <class Source>
HWY_INLINE void turn_pairs(const typename Source::Number* const (&rows)[kMaxLanes], int64_t k, uint32_t* to,
                           int64_t ld_to) {
  Vec v[4];
  for (int r = 0; r < 4; ++r) {
    v[r] = hn::BitCast(Tag(), Source::four_rows(rows[r] + k, rows[r + 4] + k, rows[r + 8] + k, rows[r + 12] + k));
  }
  turn_blocks(Tag(), v);
  for (int i = 0; i < 4; ++i) hn::StoreU(hn::BitCast(PairTag(), v[i]), PairTag(), to + i * ld_to);
}

// Numbers [0, K) of 16 rows, of which the last ones may be one and the same, become K / 2 rows of 16 pairs.
template <class Source>
HWY_INLINE void turn_rows_of(const typename Source::Number* const (&rows)[kMaxLanes], int64_t K, uint32_t* to,
                             int64_t ld_to) {
  constexpr int64_t kStep = 8;
  int64_t k = 0;
  for (; k + kStep <= K; k += kStep) turn_pairs<Source>(rows, k, to + k / 2 * ld_to, ld_to);
  if (k == K) return;
  typename Source::Number last[kMaxLanes][kStep] = {};
  const typename Source::Number* lasts[kMaxLanes];
  for (int64_t r = 0; r < kMaxLanes; ++r) lasts[r] = std::copy_n(rows[r] + k, K - k, last[r]) - (K - k);
  turn_pairs<Source>(lasts, 0, to + k / 2 * ld_to, ld_to);
}

// Numbers [0, K) of the rows [begin, end) of b; rows of pairs, ld_to apart, end in whole vectors and are K / 2, rounded
// up to a multiple of 4.
template <class Source>
HWY_INLINE void pack_turned(const typename Source::Number* b, int64_t ld, int64_t begin, int64_t end, int64_t K,
                            uint32_t* to, int64_t ld_to) {
  for (int64_t n = begin; n < end; n += kMaxLanes) {
    const typename Source::Number* rows[kMaxLanes];
    for (int64_t r = 0; r < kMaxLanes; ++r) rows[r] = b + std::min(n + r, end - 1) * ld;
    turn_rows_of<Source>(rows, K, to + n - begin, ld_to);
  }
}

// Panels [begin, end) of the block of b.
template <class Source>
HWY_INLINE void pack_panels_of(const Bf16Job& job, const typename Source::Number* b, int64_t begin, int64_t end) {
  const int64_t N = job.args.N, K = job.args.K, first = begin * kBf16Columns;
  const int64_t columns = std::min(job.columns, end * kBf16Columns) - first;
  for (int64_t d = job.begin_depth; d < job.end_depth; ++d) {
    const int64_t k = d * job.plan.depth, depth = std::min(job.plan.depth, K - k);
    uint32_t* to = job.panel(d, begin);
    if (!job.args.b_turned) {
      const auto* from = b + k * N + job.column + first;
      pair_rows<Source>(from, N, depth, columns, [&](int64_t pair, int64_t n, Pairs pairs) HWY_ATTR {
        uint32_t* panel = to + n / kBf16Columns * kBf16PanelPairs;
        hn::StoreU(pairs, PairTag(), panel + pair * kBf16Columns + n % kBf16Columns);
      });
      continue;
    }
    const auto* from = b + (job.column + first) * K + k;
    for (int64_t n = 0; n < columns; n += kBf16Columns, to += kBf16PanelPairs) {
      pack_turned<Source>(from, K, n, std::min(columns, n + kBf16Columns), depth, to, kBf16Columns);
    }
  }
}

// A block of rows of a, at most kBf16BlockRows: where number pair `pair` of row r lies.

struct RowByRow {
  static constexpr int64_t kRow = kBf16RowPairs, kPair = 1, kTile = kBf16Rows * kBf16RowPairs;

  static HWY_INLINE void pack(const Bf16ProductArgs& args, int64_t m, int64_t rows, int64_t k, int64_t K,
                              uint32_t* to) {
    for (int64_t r = 0; r < round_up(rows, kBf16Rows); ++r, to += kRow) {
      const float* from = args.a + (m + std::min(r, rows - 1)) * args.K + k;
      int64_t i = 0;
      for (; i + 2 * kMaxLanes <= K; i += 2 * kMaxLanes) {
        const Vec first = hn::LoadU(Tag(), from + i), second = hn::LoadU(Tag(), from + i + kMaxLanes);
        hn::StoreU(round_two(first, second), PairTag(), to + i / 2);
      }
      if (i == K) continue;
      const int64_t n = K - i;
      const Vec first = load_first(Tag(), from + i, std::min(n, kMaxLanes));
      const Vec second = n > kMaxLanes ? load_first(Tag(), from + i + kMaxLanes, n - kMaxLanes) : hn::Zero(Tag());
      hn::StoreU(round_two(first, second), PairTag(), to + i / 2);
    }
  }
};

struct PairByPair {
  static constexpr int64_t kRow = 1, kPair = kBf16Rows, kTile = kBf16Rows * kBf16Depth / 2;

  static HWY_INLINE void pack(const Bf16ProductArgs& args, int64_t m, int64_t rows, int64_t k, int64_t K,
                              uint32_t* to) {
    pair_rows<FloatNumbers>(args.a + k * args.M + m, args.M, K, rows,
                            [&](int64_t pair, int64_t r, Pairs pairs) HWY_ATTR {
                              const hn::Half<PairTag> half;
                              uint32_t* tile = to + r / kBf16Rows * kTile + pair * kPair;
                              hn::StoreU(hn::LowerHalf(half, pairs), half, tile);
                              hn::StoreU(hn::UpperHalf(half, pairs), half, tile + kTile);
                            });
  }
};

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16
HWY_AFTER_NAMESPACE();
#endif

#endif  // REBASED_KERNELS_BF16_PACK_INL_H_
