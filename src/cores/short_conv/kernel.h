#pragma once

#include <cstdint>

namespace rebased::kernels {

// Causal depthwise convolution with its last inputs as state:
//   u[t,c] = bias[c] + sum_{j<K} w[c,j] x[t-K+1+j, c];  y = silu ? u sigmoid(u) : u
// Inputs before the first token come from state0, zeros when it is null. Dense row-major. With positions, the place of
// each token in its document (kernels/tools/documents.h): an input that lies further back than the position of t counts
// as zero, so that no document sees another, and the state is of the row's last token that is no padding. Padding has
// no inputs.
template <class Real>
struct ShortConvArgs {
  int64_t B = 0, T = 0, C = 0, K = 0;  // K >= 1
  const Real* x = nullptr;             // [B, T, C]
  const Real* w = nullptr;             // [C, K]; w[., K-1] multiplies the current token
  const Real* bias = nullptr;          // [C] or null
  const int64_t* positions = nullptr;  // [B, T] or null; padding is -1
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

// Tokens of row b up to its last one that is no padding.
template <class Real>
int64_t tokens_of_row(const ShortConvArgs<Real>& a, int64_t b) {
  int64_t n = a.T;
  while (a.positions != nullptr && n > 0 && a.positions[b * a.T + n - 1] < 0) --n;
  return n;
}

// Whether token t of row b, or behind the last one the state, sees the input `lag` tokens before it.
template <class Real>
bool sees(const ShortConvArgs<Real>& a, int64_t b, int64_t t, int64_t lag) {
  return a.positions == nullptr || lag <= a.positions[b * a.T + t];
}

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
