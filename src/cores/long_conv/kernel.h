#pragma once

#include <cstdint>

namespace rebased::kernels {

// Causal depthwise convolution with a filter as long as the sequence, the direct form, O(T^2):
//   y[b,t,c] = sum_{j<=t} filter[c,j] x[b,t-j,c]
// Dense row-major. Of the filter the first T lags are used.
template <class Real>
struct LongConvArgs {
  int64_t B = 0, T = 0, C = 0, L = 0;  // L >= T
  const Real* x = nullptr;             // [B, T, C]
  const Real* filter = nullptr;        // [C, L]
  Real* y = nullptr;                   // [B, T, C]
  Real* scratch = nullptr;             // long_conv_scratch(args) elements (cpu)
};

template <class Real>
struct LongConvGradArgs {
  LongConvArgs<Real> forward;
  const Real* dy = nullptr;  // [B, T, C]
  Real* dx = nullptr;        // [B, T, C], overwritten
  Real* d_filter = nullptr;  // [C, L], overwritten: zeros behind T lags
  Real* scratch = nullptr;   // long_conv_grad_scratch(args) elements (cpu)
};

namespace reference {
void long_conv(const LongConvArgs<double>& args) noexcept;
void long_conv_grad(const LongConvGradArgs<double>& args) noexcept;
}  // namespace reference

// Channels are lanes. The gradient threads over lags and channels, the rest over batch rows and channels.
namespace cpu {
int64_t long_conv_scratch(const LongConvArgs<float>& args) noexcept;
int64_t long_conv_grad_scratch(const LongConvGradArgs<float>& args) noexcept;
void long_conv(const LongConvArgs<float>& args) noexcept;
void long_conv_grad(const LongConvGradArgs<float>& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
