#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/vocabulary.h"

namespace rebased::kernel_functions {

// kernels/cpu as autograd functions: float32 on the CPU. Each saves its inputs and what its closed-form backward needs
// (outputs o and normalisers z or lse), recomputes the rest, and refuses to be differentiated twice.

torch::Tensor quadratic_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                  const QuadraticOptions& options, torch::Tensor* s, torch::Tensor* z);
torch::Tensor linear_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const LinearOptions& options, torch::Tensor* s, torch::Tensor* z);
// query_pos [B, T], key_pos [B, S] i64; no dropout.
torch::Tensor softmax_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                const torch::Tensor& query_pos, const torch::Tensor& key_pos,
                                const AttentionOptions& options);
torch::Tensor short_conv(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& bias, bool silu,
                         torch::Tensor* state);
// x [N, I], w [O, I], bias [O] or undefined; for the sizes that prefers_linear names.
bool prefers_linear(const torch::Tensor& x, const torch::Tensor& w);
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& bias);
// gamma, beta, weight may be undefined.
torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& gamma, const torch::Tensor& beta, double eps);
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps);
// {a + b, its norm}
std::vector<torch::Tensor> add_layer_norm(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& gamma,
                                          const torch::Tensor& beta, double eps);
std::vector<torch::Tensor> add_rms_norm(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& weight,
                                        double eps);
torch::Tensor swiglu(const torch::Tensor& x);
// x [B, T, H, D], positions [B, T] i64
torch::Tensor rope(const torch::Tensor& x, const torch::Tensor& positions, const RopeOptions& options);
torch::Tensor dropout(const torch::Tensor& x, double p, uint64_t key);

// {loss, nll [N], best [N]}; the gradients are formed with the loss and scaled in the backward.
std::vector<torch::Tensor> cross_entropy(const torch::Tensor& x, const torch::Tensor& e, const torch::Tensor& labels);

}  // namespace rebased::kernel_functions
