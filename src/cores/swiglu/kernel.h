#pragma once

#include <cstdint>

namespace rebased::kernels {

namespace cpu {
// Rows [up | gate] of 2 C -> rows of C: y = up * silu(gate). arXiv:2002.05202.
void swiglu(int64_t N, int64_t C, const float* x, float* y) noexcept;
// x, dx [N, 2 C], dy [N, C]; dx is overwritten and may be x.
void swiglu_grad(int64_t N, int64_t C, const float* x, const float* dy, float* dx) noexcept;
}  // namespace cpu

namespace reference {
void swiglu(int64_t N, int64_t C, const double* x, double* y) noexcept;
void swiglu_grad(int64_t N, int64_t C, const double* x, const double* dy, double* dx) noexcept;
}  // namespace reference

}  // namespace rebased::kernels
