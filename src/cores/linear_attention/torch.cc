#include <algorithm>

#include "cores/composites.h"
#include "cores/linear_attention/composite.h"
#include "kernels/tools/documents.h"

namespace rebased {
namespace {

using torch::Tensor;

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

// Rows that hold one document each.
Tensor of_whole_rows(const std::vector<Tensor>& operands, const Similarity& similarity, const LinearOptions& options,
                     std::vector<Tensor>& states) {
  const Tensor q = operands[0].transpose(1, 2), k = operands[1].transpose(1, 2), v = operands[2].transpose(1, 2);
  const int64_t T = q.size(2), step = step_length(options.form, options.chunk, T);
  Tensor s = states.empty() ? Tensor() : states[0], z = states.empty() ? Tensor() : states[1];
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
    outputs.push_back(options.normalize ? numerator / (denominator + options.eps) : numerator);
    if (states.empty() && begin + n == T) break;
    const Tensor phi = similarity.key_features(kc);
    const Tensor ds = torch::matmul(phi.transpose(-1, -2), vc), dz = phi.sum(-2);
    s = s.defined() ? s + ds : ds;
    z = z.defined() ? z + dz : dz;
  }
  if (!states.empty()) states = {s, z};
  return torch::cat(outputs, 2).transpose(1, 2).contiguous();
}

// Row `row` with its documents apart.
Tensor of_documents(const std::vector<Tensor>& operands, int64_t row, const int64_t* positions,
                    const Similarity& similarity, const LinearOptions& options, std::vector<Tensor>& states) {
  const Tensor &v = operands[2], padding = torch::zeros_like(v.narrow(0, row, 1));
  const int64_t T = v.size(1);
  std::vector<Tensor> outputs, fresh;
  for (Tensor& state : states) {
    state = state.narrow(0, row, 1);
    fresh.push_back(torch::zeros_like(state));
  }
  int64_t done = 0;
  kernels::for_documents(positions, row, T, [&](const kernels::Document& d) {
    std::vector<Tensor> own = d.continues ? states : fresh, document;
    for (size_t i = 0; i < 3; ++i)
      document.push_back(operands[i].narrow(0, row, 1).narrow(1, d.begin, d.end - d.begin));
    outputs.push_back(padding.narrow(1, done, d.begin - done));
    outputs.push_back(of_whole_rows(document, similarity, options, own));
    if (d.last) states = own;
    done = d.end;
  });
  outputs.push_back(padding.narrow(1, done, T - done));
  return torch::cat(outputs, 1);
}

}  // namespace

Tensor causal_composite(const std::vector<Tensor>& operands, const Similarity& similarity, const LinearOptions& options,
                        std::vector<Tensor>& states) {
  if (!operands[3].defined()) return of_whole_rows(operands, similarity, options, states);
  const Tensor positions = operands[3].cpu().contiguous();
  std::vector<Tensor> rows;
  std::vector<std::vector<Tensor>> after(states.size());
  for (int64_t row = 0; row < positions.size(0); ++row) {
    std::vector<Tensor> own = states;
    rows.push_back(of_documents(operands, row, positions.data_ptr<int64_t>(), similarity, options, own));
    for (size_t i = 0; i < states.size(); ++i) after[i].push_back(own[i]);
  }
  for (size_t i = 0; i < states.size(); ++i) states[i] = torch::cat(after[i], 0);
  return torch::cat(rows, 0);
}

std::vector<Tensor> linear_attention_composite(const Core& core, const std::vector<Tensor>& operands,
                                               std::vector<Tensor>& states) {
  const LinearOptions& options = static_cast<const LinearAttentionCore&>(core).options;
  return {causal_composite(operands, LinearSimilarity(options.scale), options, states)};
}

}  // namespace rebased
