#pragma once

#include <cstdint>

namespace rebased::kernels::cpu {

inline constexpr int64_t kStreamedRows = 64;  // up to here the weights are streamed; packing them for BLAS costs more

// By BLAS: y[n, o] = sum_i x[n, i] w[o, i] + bias[o] for n < N, o < O; rows of y are ldy apart. bias may be null.
void linear_blas(int64_t N, int64_t I, int64_t O, const float* x, const float* w, const float* bias, float* y,
                 int64_t ldy) noexcept;

}  // namespace rebased::kernels::cpu
