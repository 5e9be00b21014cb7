#pragma once

#include <torch/torch.h>

#include "engine/autograd.h"

namespace rebased {

namespace mixed_precision {

// Whether this processor and this libtorch multiply bfloat16 by instructions of its own on `device`.
bool multiplies_natively(torch::Device device);

// y = x w^T + bias for x [N, I], w [O, I] and bias [O] (may be undefined) of float32; operands rounded, also of the
// gradients, sums in float32. What is kept for the gradients is bfloat16. Native products are rounded to bfloat16 once
// more, as libtorch returns them; others widen the operands, and nothing but the operands is rounded.
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& bias);

// x rounded to bfloat16 numbers, still float32; the gradient passes unchanged.
torch::Tensor rounded(const torch::Tensor& x);

}  // namespace mixed_precision
}  // namespace rebased
