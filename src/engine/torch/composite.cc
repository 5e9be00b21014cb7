#include "engine/torch/composite.h"

#include <cmath>
#include <numbers>

#include "kernels/dense.h"

namespace rebased::composite {
namespace {

using torch::Tensor;
using torch::indexing::Slice;

// One similarity of causal linear attention: scores inside a chunk, and its two sides as features for the running sums.
class Similarity {
 public:
  virtual ~Similarity() = default;
  virtual Tensor scores(const Tensor& q, const Tensor& k) const = 0;  // [..., T, D] x [..., S, D] -> [..., T, S]
  virtual Tensor query_features(const Tensor& q) const = 0;           // [..., T, F]
  virtual Tensor key_features(const Tensor& k) const = 0;
};

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
    if (kernel_.c != 0) parts.push_back(second * composite::packed_squares(x));
    return torch::cat(parts, -1);
  }

  QuadraticKernel kernel_;
  double scale_;
};

class LinearSimilarity : public Similarity {
 public:
  explicit LinearSimilarity(double scale) : scale_(scale) {}
  Tensor scores(const Tensor& q, const Tensor& k) const override {
    return torch::matmul(q * scale_, k.transpose(-1, -2));
  }
  Tensor query_features(const Tensor& q) const override { return scale_ * q; }
  Tensor key_features(const Tensor& k) const override { return k; }

 private:
  double scale_;
};

// Tokens that one step of the loop below takes: all at once in the parallel form, one in the recurrent form.
int64_t step_length(Form form, int64_t chunk, int64_t T) {
  if (form == Form::kRecurrent) return 1;
  if (form == Form::kChunked) return chunk > 0 ? chunk : 64;
  return T;
}

struct Normaliser {
  bool on;
  double eps;
};

Tensor causal_attention(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in, const Similarity& similarity,
                        Normaliser normaliser, int64_t step, Tensor* s_state, Tensor* z_state) {
  const Tensor q = q_in.transpose(1, 2), k = k_in.transpose(1, 2), v = v_in.transpose(1, 2);  // [B, H, T, D]
  const int64_t T = q.size(2);
  Tensor s = s_state != nullptr ? *s_state : Tensor(), z = z_state != nullptr ? *z_state : Tensor();
  std::vector<Tensor> outputs;
  for (int64_t begin = 0; begin < T; begin += step) {
    const int64_t n = std::min(step, T - begin);
    const Tensor qc = q.narrow(2, begin, n), kc = k.narrow(2, begin, n), vc = v.narrow(2, begin, n);
    const Tensor a = similarity.scores(qc, kc).tril();
    Tensor numerator = torch::matmul(a, vc), denominator = a.sum(-1, true);
    if (s.defined()) {
      const Tensor phi = similarity.query_features(qc);
      numerator = numerator + torch::matmul(phi, s);
      denominator = denominator + torch::matmul(phi, z.unsqueeze(-1));
    }
    outputs.push_back(normaliser.on ? numerator / (denominator + normaliser.eps) : numerator);
    if (s_state == nullptr && begin + n == T) break;
    const Tensor phi = similarity.key_features(kc);
    const Tensor ds = torch::matmul(phi.transpose(-1, -2), vc), dz = phi.sum(-2);
    s = s.defined() ? s + ds : ds;
    z = z.defined() ? z + dz : dz;
  }
  if (s_state != nullptr) {
    *s_state = s;
    *z_state = z;
  }
  return torch::cat(outputs, 2).transpose(1, 2).contiguous();
}

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

Tensor quadratic_attention(const Tensor& q, const Tensor& k, const Tensor& v, const QuadraticOptions& options,
                           Tensor* s, Tensor* z) {
  if (!options.queries.empty()) return attention_of_queries(q, k, v, options);
  return causal_attention(q, k, v, QuadraticSimilarity(options.kernel, options.scale), {options.normalize, options.eps},
                          step_length(options.form, options.chunk, q.size(1)), s, z);
}

Tensor linear_attention(const Tensor& q, const Tensor& k, const Tensor& v, const LinearOptions& options, Tensor* s,
                        Tensor* z) {
  return causal_attention(q, k, v, LinearSimilarity(options.scale), {options.normalize, options.eps},
                          step_length(options.form, options.chunk, q.size(1)), s, z);
}

// Slots outside `shown` get no weight at all; a query to which nothing is shown yields zeros.
Tensor softmax_attention(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in, const Slots& slots,
                         const AttentionOptions& options) {
  const int64_t repeats = q_in.size(2) / k_in.size(2);
  auto heads_first = [repeats](const Tensor& x) {
    return repeats == 1 ? x.transpose(1, 2) : x.repeat_interleave(repeats, 2).transpose(1, 2);
  };
  const Tensor k = heads_first(k_in), v = heads_first(v_in), visible = slots.visible.unsqueeze(1);
  const Tensor shown = options.additive_mask ? slots.held.unsqueeze(1) : visible;
  Tensor scores = torch::matmul(q_in.transpose(1, 2), (k * options.scale).transpose(-1, -2));
  if (options.additive_mask) scores = scores + torch::where(visible, 0.0, -10000.0).to(scores.dtype());
  scores = scores.masked_fill(~shown, -std::numeric_limits<double>::infinity());
  Tensor weights = torch::softmax(scores, -1).masked_fill(~shown, 0);
  if (options.dropout > 0) weights = composite::dropout(weights, options.dropout, options.dropout_key);
  return torch::matmul(weights, v).transpose(1, 2).contiguous();
}

Tensor short_conv(const Tensor& x, const Tensor& w, const Tensor& bias, bool silu, Tensor* state) {
  const int64_t K = w.size(1), T = x.size(1);
  const Tensor history = state != nullptr ? *state : torch::zeros({x.size(0), K - 1, x.size(2)}, x.options());
  const Tensor inputs = torch::cat({history, x}, 1);
  if (state != nullptr) *state = inputs.narrow(1, T, K - 1);
  const Tensor y = torch::conv1d(inputs.transpose(1, 2), w.unsqueeze(1), bias, torch::IntArrayRef{1},
                                 torch::IntArrayRef{0}, torch::IntArrayRef{1}, x.size(2))
                       .transpose(1, 2);
  return silu ? torch::silu(y) : y;
}

Tensor long_conv(const Tensor& x, const Tensor& filter) {
  const int64_t T = x.size(1), n = 2 * T;
  const Tensor xf = torch::fft_rfft(x.transpose(1, 2), n), ff = torch::fft_rfft(filter.narrow(1, 0, T), n);
  return torch::fft_irfft(xf * ff, n).narrow(-1, 0, T).transpose(1, 2);
}

Tensor packed_squares(const Tensor& x) {
  const int64_t D = x.size(-1);
  const Tensor pairs = torch::triu_indices(D, D, 1, torch::TensorOptions().dtype(torch::kLong).device(x.device()));
  const Tensor products = x.index_select(-1, pairs[0]) * x.index_select(-1, pairs[1]) * std::numbers::sqrt2;
  return torch::cat({x * x, products}, -1);
}

// The kernel's own mask, so that every dtype and device drops the same elements.
Tensor dropout(const Tensor& x, double p, uint64_t key) {
  Tensor mask = torch::ones({x.numel()}, torch::kFloat32);
  kernels::cpu::dropout(mask.numel(), key, p, mask.data_ptr<float>(), mask.data_ptr<float>());
  return x * mask.view(x.sizes()).to(x.device(), x.scalar_type());
}

}  // namespace rebased::composite
