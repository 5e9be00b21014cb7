#pragma once

#include <cstdint>

namespace rebased::kernels {

// Rotary embedding of the first `rotary` (even) channels of x [B, T, H, D], half-split pairs (i, i + rotary/2), angle
// position[b,t] * base^(-2i/rotary); the remaining channels pass through. Backwards: by the negative angles, which is
// the gradient. arXiv:2104.09864.
template <class Real>
struct RopeArgs {
  int64_t B = 0, T = 0, H = 0, D = 0;
  int64_t rotary = 0;
  double base = 0;
  bool backwards = false;
  const int64_t* positions = nullptr;  // [B, T]
  const Real* x = nullptr;             // [B, T, H, D]
  Real* y = nullptr;                   // [B, T, H, D]; may be x
};

namespace cpu {
void rope(const RopeArgs<float>& args) noexcept;
}  // namespace cpu

namespace reference {
void rope(const RopeArgs<double>& args) noexcept;
}  // namespace reference

}  // namespace rebased::kernels
