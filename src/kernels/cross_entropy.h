#pragma once

#include <cstdint>

namespace rebased::kernels {

// Cross-entropy of a linear head, fused: logits x E^T exist one block of rows at a time.
//   nll[n] = log sum_j exp(<x_n, e_j>) - <x_n, e_label>,  best[n] = argmax_j <x_n, e_j> (the lowest index on ties)
// With d_x and d_e: their gradients of grad_scale * sum_n nll[n], computed in the same pass (the softmax is at hand).
// Rows whose label is outside [0, V) must have been dropped by the caller.
template <class Real>
struct CrossEntropyArgs {
  int64_t N = 0, C = 0, V = 0;
  const Real* x = nullptr;          // [N, C]
  const Real* e = nullptr;          // [V, C]
  const int64_t* labels = nullptr;  // [N]
  Real* nll = nullptr;              // [N]
  int64_t* best = nullptr;          // [N] or null
  double grad_scale = 1;
  bool bf16 = false;        // round the operands of all three products, as bf16_product.h does; sums are float32
  Real* d_x = nullptr;      // [N, C], overwritten; null together with d_e for evaluation
  Real* d_e = nullptr;      // [V, C], overwritten
  Real* scratch = nullptr;  // cross_entropy_scratch(args) elements
};

namespace reference {
void cross_entropy(const CrossEntropyArgs<double>& args) noexcept;
}
namespace cpu {
int64_t cross_entropy_scratch(const CrossEntropyArgs<float>& args) noexcept;
void cross_entropy(const CrossEntropyArgs<float>& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
