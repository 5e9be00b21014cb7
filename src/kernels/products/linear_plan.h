#pragma once

#include <cstdint>

#include "kernels/tools/scratch.h"

namespace rebased::kernels::cpu {

// Numbers that two vectors of any target hold: bfloat16 weights meet x in pairs of vectors.
inline constexpr int64_t kOrdered = 32;

// Up to here the weights are streamed; packing them for BLAS costs more: 238 against 175 ms for a decode step.
inline constexpr int64_t kStreamedRows = 64;

// From here on rows of x are lanes of vectors: x is turned once, and each thread multiplies some outputs at a time.
// From 16 or 24 rows on it took 1.06 to 1.5 of the time in bfloat16, 0.8 to 1.2 in float32 (docs/tuning.md).
inline constexpr int64_t kTurnedRows = 32;
inline constexpr int64_t kTurnedOutputs = 24;  // whole register tiles of 8 x 2, 8 x 3 and 6 x 4 vectors
inline int64_t turned_width(int64_t N) { return round_up(N, Scratch::kAlign); }
inline bool is_turned(int64_t N) { return N >= kTurnedRows && N <= kStreamedRows; }

// x [N, I] -> turned [I, turned_width(N)], zeros behind the rows, by all threads.
void turn_rows(int64_t N, int64_t I, const float* x, float* turned) noexcept;

// By BLAS: y[n, o] = sum_i x[n, i] w[o, i] + bias[o] for n < N, o < O; rows of y are ldy apart. bias may be null.
void linear_blas(int64_t N, int64_t I, int64_t O, const float* x, const float* w, const float* bias, float* y,
                 int64_t ldy) noexcept;

}  // namespace rebased::kernels::cpu
