#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/vocabulary.h"

namespace rebased::composite {

// Operations of the vocabulary as plain torch: differentiable, any dtype, any device. Layouts as in vocabulary.h.
// Running sums {s, z} are read and advanced where they are defined.

torch::Tensor quadratic_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                  const QuadraticOptions& options, torch::Tensor* s, torch::Tensor* z);
torch::Tensor linear_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const LinearOptions& options, torch::Tensor* s, torch::Tensor* z);

// [B or 1, T, S] bool: the key slots that each query sees, and those that hold a key at all.
struct Slots {
  torch::Tensor visible;
  torch::Tensor held;
};
torch::Tensor softmax_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                const Slots& slots, const AttentionOptions& options);

torch::Tensor short_conv(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& bias, bool silu,
                         torch::Tensor* state);
torch::Tensor long_conv(const torch::Tensor& x, const torch::Tensor& filter);
torch::Tensor packed_squares(const torch::Tensor& x);
torch::Tensor dropout(const torch::Tensor& x, double p, uint64_t key);

}  // namespace rebased::composite
