#pragma once

#include <cstdint>

namespace rebased::kernels {

// One decoupled-weight-decay Adam step in place (arXiv:1711.05101, as torch.optim.AdamW orders it):
//   p -= lr wd p;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  p -= lr/(1-b1^step) m / (sqrt(v/(1-b2^step)) + eps)
// with g = grad_scale * gradient.
template <class Real>
struct AdamWArgs {
  int64_t n = 0;
  Real* param = nullptr;
  const Real* grad = nullptr;
  Real* m = nullptr;
  Real* v = nullptr;
  int64_t step = 1;  // 1 for the first update
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double grad_scale = 1;  // clipping and accumulation
};

namespace reference {
void adamw(const AdamWArgs<double>& args) noexcept;
}
namespace cpu {
void adamw(const AdamWArgs<float>& args) noexcept;
}

}  // namespace rebased::kernels
