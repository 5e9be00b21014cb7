#pragma once

#include <cstdint>

namespace rebased::kernels {

namespace cpu {
// y[i] = x[i] / (1 - p) when a hash of (key, i) says keep, which it does with probability 1 - p (in steps of 2^-24),
// else 0. The gradient is the same call on dy: no mask is stored. p in [0, 1].
void dropout(int64_t n, uint64_t key, double p, const float* x, float* y) noexcept;
}  // namespace cpu

namespace reference {
bool dropout_keeps(uint64_t key, double p, int64_t i) noexcept;  // element i
void dropout(int64_t n, uint64_t key, double p, const double* x, double* y) noexcept;
}  // namespace reference

}  // namespace rebased::kernels
