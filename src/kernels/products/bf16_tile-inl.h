// A product's register tiles; compiled once for each instruction set.

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/products/bf16_pack-inl.h"

#if defined(REBASED_KERNELS_BF16_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_BF16_TILE_INL_H_
#undef REBASED_KERNELS_BF16_TILE_INL_H_
#else
#define REBASED_KERNELS_BF16_TILE_INL_H_
#endif

#if HWY_TARGET <= HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16 {

// Where a tile's sums go: `rows` by `columns` of them exist.
struct TileOutput {
  float* c;
  int64_t ldc;
  int64_t rows, columns;
  const float* bias;  // or null
  bool add;           // to what is there
};

template <int kVectors>
HWY_INLINE void store_row(const Vec (&sums)[kVectors], const TileOutput& out, float* c) {
  const auto store = [&](auto at, int v) HWY_ATTR {
    Vec sum = sums[v];
    if (out.add) sum = hn::Add(sum, at.load(c + v * kMaxLanes));
    if (out.bias) sum = hn::Add(sum, at.load(out.bias + v * kMaxLanes));
    at.store(sum, c + v * kMaxLanes);
  };
  for (int v = 0; v + 1 < kVectors; ++v) store(Whole{}, v);
  const int64_t left = out.columns - (kVectors - 1) * kMaxLanes;
  left == kMaxLanes ? store(Whole{}, kVectors - 1) : store(Rest{left}, kVectors - 1);
}

// kBf16Rows rows by kVectors vectors of columns over `pairs` pairs of K.
template <class Left, int kVectors>
HWY_INLINE void product_tile(int64_t pairs, const uint32_t* a, const uint32_t* b, const TileOutput& out) {
  const PairTag d;
  Vec sums[kBf16Rows][kVectors];
  for (auto& row : sums) {
    for (Vec& sum : row) sum = hn::Zero(Tag());
  }
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(out.c + r * out.ldc + v * kMaxLanes, 1);
  }
  for (int64_t k = 0; k < pairs; ++k, a += Left::kPair, b += kBf16Columns) {
    Pairs right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, b + v * kMaxLanes);
    for (int64_t r = 0; r < kBf16Rows; ++r) {
      const Pairs left = hn::Set(d, a[r * Left::kRow]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = add_products(left, right[v], sums[r][v]);
    }
  }
  for (int64_t r = 0; r < kBf16Rows; ++r) {
    if (r < out.rows) store_row(sums[r], out, out.c + r * out.ldc);
  }
}

// All tiles of a packed block of a with a packed panel of b.
template <class Left, int kVectors>
HWY_INLINE void panel_tiles(int64_t pairs, const uint32_t* a, const uint32_t* b, TileOutput out) {
  for (int64_t left = out.rows; left > 0; left -= kBf16Rows, a += Left::kTile, out.c += kBf16Rows * out.ldc) {
    out.rows = std::min(left, kBf16Rows);
    product_tile<Left, kVectors>(pairs, a, b, out);
  }
}

// Rows [row, row + rows) of c, at most kBf16BlockRows, in panels [begin, end) of the block. packed_a: scratch.
template <class Left>
HWY_INLINE void block_rows(const Bf16Job& job, int64_t row, int64_t rows, int64_t begin, int64_t end,
                           uint32_t* packed_a) {
  const Bf16ProductArgs& args = job.args;
  for (int64_t d = job.begin_depth; d < job.end_depth; ++d) {
    const int64_t k = d * job.plan.depth, depth = std::min(job.plan.depth, args.K - k), pairs = (depth + 1) / 2;
    Left::pack(args, row, rows, k, depth, packed_a);
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * kBf16Columns, n = job.column + first;
      const int64_t columns = std::min(kBf16Columns, job.columns - first);
      const float* bias = d == 0 && args.bias ? args.bias + n : nullptr;
      const TileOutput out{args.c + row * args.ldc + n, args.ldc, rows, columns, bias, d > 0 || args.accumulate};
      const uint32_t* b = job.panel(d, panel);
      if (columns > 2 * kMaxLanes) {
        panel_tiles<Left, 3>(pairs, packed_a, b, out);
      } else if (columns > kMaxLanes) {
        panel_tiles<Left, 2>(pairs, packed_a, b, out);
      } else {
        panel_tiles<Left, 1>(pairs, packed_a, b, out);
      }
    }
  }
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16
HWY_AFTER_NAMESPACE();
#endif

#endif  // REBASED_KERNELS_BF16_TILE_INL_H_
