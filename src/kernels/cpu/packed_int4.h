#pragma once

#include "kernels/packed_linear.h"

namespace rebased::kernels::cpu {

// packed_linear for kI4, N >= 1 and O >= 1.
int64_t int4_linear_scratch(int64_t N, int64_t I) noexcept;
void int4_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                 float* scratch) noexcept;

}  // namespace rebased::kernels::cpu
