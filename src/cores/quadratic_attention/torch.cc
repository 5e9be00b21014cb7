#include "cores/composites.h"
#include "cores/linear_attention/composite.h"
#include "cores/packed_squares/composite.h"
#include "cores/quadratic_attention/quadratic_attention.h"

namespace rebased {
namespace {

using torch::Tensor;

class QuadraticSimilarity : public Similarity {
 public:
  QuadraticSimilarity(const QuadraticKernel& kernel, double scale) : kernel_(kernel), scale_(scale) {}

  Tensor scores(const Tensor& q, const Tensor& k) const override {
    const Tensor x = torch::matmul(q * scale_, k.transpose(-1, -2));
    return kernel_.a + kernel_.b * x + kernel_.c * x * x;
  }
  Tensor query_features(const Tensor& q) const override {
    return monomials(q, kernel_.a, kernel_.b * scale_, kernel_.c * scale_ * scale_);
  }
  Tensor key_features(const Tensor& k) const override { return monomials(k, 1, 1, 1); }

 private:
  Tensor monomials(const Tensor& x, double zeroth, double first, double second) const {
    std::vector<Tensor> parts;
    if (kernel_.a != 0) parts.push_back(torch::full_like(x.narrow(-1, 0, 1), zeroth));
    if (kernel_.b != 0) parts.push_back(first * x);
    if (kernel_.c != 0) parts.push_back(second * packed_squares(x));
    return torch::cat(parts, -1);
  }

  QuadraticKernel kernel_;
  double scale_;
};

// Some tokens' queries: weights with every key, none where the key comes later.
Tensor attention_of_queries(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in,
                            const QuadraticOptions& options) {
  const Tensor q = q_in.transpose(1, 2), k = k_in.transpose(1, 2), v = v_in.transpose(1, 2);  // [B, H, ., D]
  const Tensor tokens = torch::tensor(torch::ArrayRef<int64_t>(options.queries), torch::kInt64)
                            .to(q.device())
                            .view({q.size(0), 1, q.size(2), 1});
  const Tensor later = torch::arange(k.size(2), tokens.options()) > tokens;
  const Tensor a = QuadraticSimilarity(options.kernel, options.scale).scores(q, k).masked_fill(later, 0);
  const Tensor numerator = torch::matmul(a, v);
  const Tensor o = options.normalize ? numerator / (a.sum(-1, true) + options.eps) : numerator;
  return o.transpose(1, 2).contiguous();
}

}  // namespace

std::vector<Tensor> quadratic_attention_composite(const Core& core, const std::vector<Tensor>& operands,
                                                  std::vector<Tensor>& states) {
  const QuadraticOptions& options = static_cast<const QuadraticAttentionCore&>(core).options;
  if (!options.queries.empty()) return {attention_of_queries(operands[0], operands[1], operands[2], options)};
  const LinearOptions sums{
      .eps = options.eps, .normalize = options.normalize, .form = options.form, .chunk = options.chunk};
  return {causal_composite(operands, QuadraticSimilarity(options.kernel, options.scale), sums, states)};
}

}  // namespace rebased
