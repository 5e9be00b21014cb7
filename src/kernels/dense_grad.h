#pragma once

#include <cstdint>

namespace rebased::kernels {

// Gradients of those operations of dense.h for which training has a kernel. NaN in, NaN out.

// Gradients of layer_norm and rms_norm (dense.h). Of the forward pass only x is needed: means and deviations are
// computed anew, a row at a time.
template <class Real>
struct NormGradArgs {
  int64_t N = 0, C = 0;
  const Real* x = nullptr;     // [N, C]
  const Real* gain = nullptr;  // [C] or null: gamma, or the weight of rms_norm
  double eps = 0;
  const Real* dy = nullptr;     // [N, C]
  const Real* other = nullptr;  // [N, C] or null: the gradient of x from its other uses, which dx includes
  Real* dx = nullptr;           // [N, C], overwritten; may be dy or other
  Real* d_gain = nullptr;       // [C], overwritten, or null
  Real* d_shift = nullptr;      // [C], overwritten, or null: of beta; rms_norm has none
  Real* scratch = nullptr;      // norm_grad_scratch(args) elements (cpu)
};

namespace reference {
void layer_norm_grad(const NormGradArgs<double>& args) noexcept;
void rms_norm_grad(const NormGradArgs<double>& args) noexcept;
void swiglu_grad(int64_t N, int64_t C, const double* x, const double* dy, double* dx) noexcept;
}  // namespace reference
namespace cpu {
int64_t norm_grad_scratch(const NormGradArgs<float>& args) noexcept;
void layer_norm_grad(const NormGradArgs<float>& args) noexcept;
void rms_norm_grad(const NormGradArgs<float>& args) noexcept;
// x, dx [N, 2 C], dy [N, C]; dx is overwritten and may be x.
void swiglu_grad(int64_t N, int64_t C, const float* x, const float* dy, float* dx) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
