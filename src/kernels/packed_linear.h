#pragma once

#include <cstdint>

namespace rebased::kernels {

// Weights in fewer bits, for inference. A row holds I weights, and a scale where there is one:
//   kBF16  I bfloat16 numbers, rounded to nearest
//   kI8    I signed bytes q and one float32 scale: w = scale q, scale = max |w| / 127
//   kI4    four bits a weight, the even one of a byte in its low half; a bfloat16 scale for each group of 32:
//          w = scale (q - 8), scale = -m / 8 with m the weight largest in magnitude; the last group is filled up with
//          zeros
enum class Packing : uint8_t { kBF16, kI8, kI4 };

inline constexpr int64_t kPackedGroup = 32;                     // weights of a kI4 group
inline constexpr int64_t kPackedGroupBytes = kPackedGroup / 2;  // and bytes of their numbers
constexpr int64_t packed_groups(int64_t I) { return (I + kPackedGroup - 1) / kPackedGroup; }

// Bytes of a row's numbers, and of its scales.
int64_t packed_row_bytes(Packing packing, int64_t I) noexcept;
int64_t packed_scale_bytes(Packing packing, int64_t I) noexcept;

// A matrix [O, I] of packed rows, dense; scales is null for kBF16.
struct PackedMatrix {
  Packing packing = Packing::kBF16;
  int64_t O = 0, I = 0;
  const void* data = nullptr;    // [O, packed_row_bytes]
  const void* scales = nullptr;  // [O, packed_scale_bytes]
};

// w [O, I] -> data, scales. A matrix that is not finite packs to one that is not (kBF16) or to zeros.
void pack(Packing packing, int64_t O, int64_t I, const float* w, void* data, void* scales) noexcept;

namespace reference {
void unpack(const PackedMatrix& matrix, double* w) noexcept;  // [O, I]
}

namespace cpu {
// Rows [first, first + count) as float32 [count, I]. One thread.
void unpack_rows(const PackedMatrix& matrix, int64_t first, int64_t count, float* w) noexcept;

// y[N, O] = x[N, I] w^T + bias [O], which may be null: the numbers are widened to float32 and all sums are float32.
// One row streams the packed weights; a few widen some outputs at a time in cache; more go to BLAS block by block.
int64_t packed_linear_scratch(int64_t N, const PackedMatrix& w) noexcept;
void packed_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                   float* scratch) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
