#pragma once

#include <cstdint>

namespace rebased::kernels {

// Gradients of layer_norm and rms_norm. Of the forward pass only x is needed: means and deviations are
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

namespace cpu {
// Rows of C: y = (x - mean) / sqrt(var + eps) * gamma + beta, biased variance; gamma and beta [C] may be null. y may be
// x.
void layer_norm(int64_t N, int64_t C, const float* x, const float* gamma, const float* beta, double eps,
                float* y) noexcept;
// Rows of C: y = x / sqrt(mean(x^2) + eps) * weight; weight [C] may be null. y may be x.
void rms_norm(int64_t N, int64_t C, const float* x, const float* weight, double eps, float* y) noexcept;

int64_t norm_grad_scratch(const NormGradArgs<float>& args) noexcept;
void layer_norm_grad(const NormGradArgs<float>& args) noexcept;
void rms_norm_grad(const NormGradArgs<float>& args) noexcept;
}  // namespace cpu

namespace reference {
void layer_norm(int64_t N, int64_t C, const double* x, const double* gamma, const double* beta, double eps,
                double* y) noexcept;
void rms_norm(int64_t N, int64_t C, const double* x, const double* weight, double eps, double* y) noexcept;
void layer_norm_grad(const NormGradArgs<double>& args) noexcept;
void rms_norm_grad(const NormGradArgs<double>& args) noexcept;
}  // namespace reference

}  // namespace rebased::kernels
