#pragma once

#include <torch/torch.h>

#include <vector>

#include "cores/linear_attention/linear_attention.h"

namespace rebased {

// One similarity of causal linear attention: scores inside a chunk, and its two sides as features for the running sums.
class Similarity {
 public:
  virtual ~Similarity() = default;
  virtual torch::Tensor scores(const torch::Tensor& q, const torch::Tensor& k) const = 0;  // [..., T, D] x [..., S, D]
  virtual torch::Tensor query_features(const torch::Tensor& q) const = 0;                  // [..., T, F]
  virtual torch::Tensor key_features(const torch::Tensor& k) const = 0;
};

// q, k [B, T, H, D], v [B, T, H, Dv] and, where defined, positions [B, T] of `operands`; options.scale is the
// similarity's affair. Running sums {s, z} are read and advanced where there are any.
torch::Tensor causal_composite(const std::vector<torch::Tensor>& operands, const Similarity& similarity,
                               const LinearOptions& options, std::vector<torch::Tensor>& states);

}  // namespace rebased
