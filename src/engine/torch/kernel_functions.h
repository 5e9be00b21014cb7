#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/vocabulary.h"

namespace rebased::kernel_functions {

// Kernels as autograd functions: float32 on the CPU. Each saves its inputs and what its closed-form backward needs
// (outputs o and normalisers z or lse), recomputes the rest, and refuses to be differentiated twice.

// x [N, I], w [O, I], bias [O] or undefined; for the sizes that prefers_linear names.
bool prefers_linear(const torch::Tensor& x, const torch::Tensor& w);
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& bias);

// {loss, nll [N], best [N]}; the gradients are formed with the loss and scaled in the backward.
std::vector<torch::Tensor> cross_entropy(const torch::Tensor& x, const torch::Tensor& e, const torch::Tensor& labels);

}  // namespace rebased::kernel_functions
