#pragma once

#include <cstdint>

#include "kernels/dense_grad.h"

namespace rebased::kernels {

// y = x w^T + bias and its gradients, for many rows and a small matrix: the projections of narrow models, where BLAS
// spends as long on rearranging its operands as on multiplying them. NaN in, NaN out.
struct ThinLinearArgs {
  int64_t N = 0, I = 0, O = 0;
  const float* x = nullptr;     // [N, I]
  const float* w = nullptr;     // [O, I]
  const float* bias = nullptr;  // [O] or null
  float* y = nullptr;           // [N, O], overwritten
  float* scratch = nullptr;     // thin_linear_scratch(args) elements
};

namespace cpu {
// Whether these functions are the faster way for such sizes; they are right for all.
bool prefers_thin_linear(int64_t N, int64_t I, int64_t O) noexcept;

int64_t thin_linear_scratch(const ThinLinearArgs& args) noexcept;
void thin_linear(const ThinLinearArgs& args) noexcept;
int64_t thin_linear_grad_scratch(const LinearGradArgs& args) noexcept;
void thin_linear_grad(const LinearGradArgs& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
