#pragma once

#include <cstdint>

namespace rebased::kernels {

// Causal depthwise convolution with its last inputs as state:
//   u[t,c] = bias[c] + sum_{j<K} w[c,j] x[t-K+1+j, c];  y = silu ? u sigmoid(u) : u
// Inputs before the first token come from state0, zeros when it is null. Dense row-major.
template <class Real>
struct ShortConvArgs {
  int64_t B = 0, T = 0, C = 0, K = 0;  // K >= 1
  const Real* x = nullptr;             // [B, T, C]
  const Real* w = nullptr;             // [C, K]; w[., K-1] multiplies the current token
  const Real* bias = nullptr;          // [C] or null
  bool silu = false;
  const Real* state0 = nullptr;  // [B, K-1, C] or null: the last K-1 inputs, oldest first
  Real* y = nullptr;             // [B, T, C]
  Real* stateT = nullptr;        // [B, K-1, C] or null; may be state0 itself
};

template <class Real>
struct ShortConvGradArgs {
  ShortConvArgs<Real> forward;
  const Real* dy = nullptr;        // [B, T, C]
  const Real* d_stateT = nullptr;  // [B, K-1, C] or null: zero
  Real* dx = nullptr;              // [B, T, C]
  Real* dw = nullptr;              // [C, K]
  Real* dbias = nullptr;           // [C] or null
  Real* d_state0 = nullptr;        // [B, K-1, C] or null
  Real* scratch = nullptr;         // short_conv_grad_scratch(args) elements: partial sums of threads
};

namespace reference {
void short_conv(const ShortConvArgs<double>& args) noexcept;
void short_conv_grad(const ShortConvGradArgs<double>& args) noexcept;
}  // namespace reference

namespace cpu {
int64_t short_conv_grad_scratch(const ShortConvGradArgs<float>& args) noexcept;
void short_conv(const ShortConvArgs<float>& args) noexcept;
void short_conv_grad(const ShortConvGradArgs<float>& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
