#pragma once

#include <cstdint>

namespace rebased::kernels {

// Weights in fewer bits, for inference. The same bytes on every instruction set.
//   kBF16  rows of I bfloat16 numbers, rounded to nearest
//   kI8    a byte q a weight and a float32 scale a row: w = scale (q - 128), scale = max |w| / 127
//   kI4    four bits q a weight and a bfloat16 scale for each group of 32 of a row: w = scale (q - 8),
//          scale = -m / 8 with m the weight largest in magnitude
// Rows of kI8 and kI4 are groups of 32 weights, the last one filled up with weights of 0, and lie in tiles of 16 rows,
// the last one filled up with bytes and scales of 0:
//   kI8      scales [O / 16, 16]
//            data   [O / 16, I / 32, 8, 16, 4] bytes; byte [o / 16, g, k, o % 16, b] holds weight 4 k + b of row o's
//                   group g
//   kI4      scales [O / 16, I / 32, 16]; row o's for group g at [o / 16, g, o % 16]
//            data   [O / 16, I / 32, 4, 16, 4] bytes; byte [o / 16, g, v, o % 16, b] holds weight 8 v + b of the
//                   group in its low half and weight 8 v + 4 + b in its high half
enum class Packing : uint8_t { kBF16, kI8, kI4 };

inline constexpr int64_t kPackedTile = 16;   // rows of a tile
inline constexpr int64_t kPackedGroup = 32;  // weights of a group
constexpr int64_t packed_tiles(int64_t O) { return (O + kPackedTile - 1) / kPackedTile; }
constexpr int64_t packed_groups(int64_t I) { return (I + kPackedGroup - 1) / kPackedGroup; }

// Bytes of the numbers of O rows, and of their scales. Row O of a larger matrix starts there when O is a multiple of
// kPackedTile.
constexpr int64_t packed_data_bytes(Packing packing, int64_t O, int64_t I) {
  if (packing == Packing::kBF16) return 2 * O * I;
  const int64_t weights = packed_tiles(O) * packed_groups(I) * kPackedTile * kPackedGroup;
  return packing == Packing::kI8 ? weights : weights / 2;
}
constexpr int64_t packed_scale_bytes(Packing packing, int64_t O, int64_t I) {
  if (packing == Packing::kBF16) return 0;
  const int64_t rows = packed_tiles(O) * kPackedTile;
  return packing == Packing::kI8 ? 4 * rows : 2 * rows * packed_groups(I);
}

// A matrix [O, I] of packed rows; data is aligned to its numbers, scales, null for kBF16, to theirs.
struct PackedMatrix {
  Packing packing = Packing::kBF16;
  int64_t O = 0, I = 0;
  const void* data = nullptr;    // packed_data_bytes
  const void* scales = nullptr;  // packed_scale_bytes
};

// w [O, I] -> data, scales. A matrix that is not finite packs to one that is not (kBF16) or to zeros.
void pack(Packing packing, int64_t O, int64_t I, const float* w, void* data, void* scales) noexcept;

namespace reference {
void unpack(const PackedMatrix& matrix, double* w) noexcept;  // [O, I]

// What a product with kI8 or kI4 weights takes for x [N, I]: in each group of 32 of a row the nearest multiples, at
// most 127 of them either way, of scale = max |x| / 127, which is a float32. A group that is not finite becomes NaN.
void round_to_bytes(int64_t N, int64_t I, const float* x, double* rounded) noexcept;
// One with kBF16 weights takes reference::round_to_bf16 of bf16_product.h.
}  // namespace reference

namespace cpu {
// Rows [first, first + count) as float32 [count, I]. One thread.
void unpack_rows(const PackedMatrix& matrix, int64_t first, int64_t count, float* w) noexcept;

// y[N, O] = x[N, I] w^T + bias [O], which may be null; all sums of floats are float32.
// kBF16: x is rounded to bfloat16, whatever the number of rows; each product of two numbers is exact. Where
// has_bf16_products(), up to 256 rows stream the weights as they lie, and more are a bf16_product. Elsewhere weights
// are widened to float32: as a stream up to 31 rows, in cache with a row of x a lane up to 64, block by block for BLAS.
// kI8, kI4: x is rounded as by reference::round_to_bytes, and the products and sums inside a group are exact.
int64_t packed_linear_scratch(int64_t N, const PackedMatrix& w) noexcept;
void packed_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                   float* scratch) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
