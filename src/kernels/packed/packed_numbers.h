#pragma once

#include "kernels/packed_linear.h"

namespace rebased::kernels::cpu {

// packed_linear for kBF16 where has_bf16_products(), N >= 1 and O >= 1.
int64_t numbers_linear_scratch(int64_t N, const PackedMatrix& w) noexcept;
void numbers_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                    float* scratch) noexcept;

}  // namespace rebased::kernels::cpu
