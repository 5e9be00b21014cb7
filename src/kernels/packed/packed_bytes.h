#pragma once

#include "kernels/packed_linear.h"

namespace rebased::kernels::cpu {

// packed_linear for kI4 and kI8, N >= 1 and O >= 1.
int64_t bytes_linear_scratch(int64_t N, int64_t I) noexcept;
void bytes_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                  float* scratch) noexcept;

// Whether products may use AVX-512 VNNI, where the processor has it and AVX3 is among the allowed instruction sets. For
// tests: the results are the same bit for bit.
void allow_vnni(bool allowed) noexcept;

// Rows of x are multiplied in blocks of 8, then of 4, 2 and 1. Groups of x are numbered so that those that meet the
// same weights lie together: [block, group, row of the block]. Blocks of 16 took 1.05 to 1.8 of the time.
inline constexpr int64_t kMostRows = 8;
struct RowBlock {
  int64_t begin, rows;
};
inline RowBlock block_of(int64_t N, int64_t n) {  // the one that holds row n of N
  int64_t begin = n / kMostRows * kMostRows, rows = kMostRows;
  while (begin + rows > N || begin + rows <= n) {
    if (begin + rows <= N) begin += rows;
    rows /= 2;
  }
  return {begin, rows};
}

// A product on its way: x in bytes, and what each of its groups counts.
struct BytesArgs {
  int64_t N, groups;
  const float* x;
  PackedMatrix w;
  const float* bias;
  float* y;
  int8_t* bytes;    // of each group of x 32, zeros behind its rows
  float* x_scales;  // what a byte of a group counts
  int32_t* shifts;  // the sum of a group's bytes times what q lies above the weight, negative
  bool vnni;
};

// Asks for the first weights of tiles [begin, end).
void fetch_tiles(const BytesArgs& args, int64_t begin, int64_t end) noexcept;

// Tiles [begin, end) of the outputs.
void multiply_tiles(const BytesArgs& args, int64_t begin, int64_t end) noexcept;

}  // namespace rebased::kernels::cpu
