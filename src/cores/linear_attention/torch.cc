#include <algorithm>
#include <cmath>

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

namespace {

// Logarithms of decays [B, H, T, F], or [B, H, T, 1] where features decay alike.
Tensor decays_by_token(const Tensor& log_decay, const Tensor& q, Decay decay) {
  if (decay == Decay::kFeature) return log_decay.transpose(1, 2);
  if (decay == Decay::kToken) return log_decay.transpose(1, 2).unsqueeze(-1);
  return log_decay.view({1, -1, 1, 1}).expand({q.size(0), q.size(1), q.size(2), 1});
}

// Row i of x [.., n, ...] at row i + 1, zeros at row 0.
Tensor one_later(const Tensor& x) {
  return torch::cat({torch::zeros_like(x.narrow(2, 0, 1)), x.narrow(2, 0, x.size(2) - 1)}, 2);
}

// g_{j+1} + ... + g_i at [.., i, j, F] for j < i of g [.., n, F], each sum formed apart: differences of sums from the
// beginning would be none of infinities.
Tensor sums_between(const Tensor& g) {
  const int64_t n = g.size(2);
  const Tensor behind = torch::ones({n, n}, g.options().dtype(torch::kBool)).tril(-1).view({1, 1, n, n, 1});
  return torch::where(behind, g.unsqueeze(3), torch::zeros({}, g.options())).cumsum(2);
}

// Weights of the keys at and before each query, [.., n, n].
Tensor decayed_scores(const Tensor& q, const Tensor& k, const Tensor& between) {
  if (between.size(-1) == 1) return torch::matmul(q, k.transpose(-1, -2)) * between.squeeze(-1);
  return (q.unsqueeze(3) * k.unsqueeze(2) * between).sum(-1);
}

struct DecayedChunk {
  Tensor q, k, v, g;  // [.., n, F], [.., n, Dv], [.., n, F or 1]
  Tensor resets;      // [.., n, 1]: -inf at the first token of a document, else 0
};

// The sums o [.., n, D] of a chunk behind the state s [.., F, D], which is advanced.
Tensor decayed_chunk(const DecayedChunk& c, const Tensor& bonus, Tensor& s) {
  const bool earlier = bonus.defined();  // a query meets what decayed until the token before it
  const Tensor sums = sums_between(c.g), met = c.g.cumsum(2), cut = c.resets.cumsum(2);
  const Tensor between = (earlier ? one_later(sums) : sums) + sums_between(c.resets);
  Tensor a = decayed_scores(c.q, c.k, between.exp()).tril(earlier ? -1 : 0);
  if (earlier) a = a + torch::diag_embed((c.q * bonus * c.k).sum(-1));
  const Tensor o = torch::matmul(a, c.v) + torch::matmul(c.q * ((earlier ? one_later(met) : met) + cut).exp(), s);
  const Tensor kept = c.g + c.resets;
  const Tensor later = one_later(kept.flip(2)).cumsum(2).flip(2);
  const Tensor whole = kept.sum(2).exp().unsqueeze(-1);
  s = whole * s + torch::matmul((c.k * later.exp()).transpose(-1, -2), c.v);
  return o;
}

Tensor decayed_composite(const LinearAttentionCore& core, const std::vector<Tensor>& operands,
                         std::vector<Tensor>& states) {
  const LinearOptions& options = core.options;
  const Tensor q = options.scale * operands[0].transpose(1, 2), zero = torch::zeros({}, q.options());
  Tensor k = operands[1].transpose(1, 2), g = decays_by_token(operands[4], q, core.decay);
  Tensor resets = torch::zeros_like(g.narrow(3, 0, 1)), padding;
  if (operands[3].defined()) {
    const Tensor positions = operands[3].unsqueeze(1).unsqueeze(-1);
    padding = positions < 0;
    resets = torch::where(positions == 0, torch::full({}, -INFINITY, q.options()), resets);
    k = torch::where(padding, zero, k);
    g = torch::where(padding, zero, g);
  }
  const Tensor bonus = operands[5].defined() ? operands[5].unsqueeze(1) : Tensor();
  Tensor v = operands[2].transpose(1, 2);
  const int64_t T = q.size(2), Dv = v.size(3);
  if (options.normalize) v = torch::cat({v, torch::ones_like(v.narrow(3, 0, 1))}, 3);
  Tensor s = torch::zeros({q.size(0), q.size(1), q.size(3), v.size(3)}, q.options());
  if (!states.empty()) s = options.normalize ? torch::cat({states[0], states[1].unsqueeze(-1)}, 3) : states[0];
  const int64_t step = std::min<int64_t>(step_length(options.form, options.chunk, T), 64);
  std::vector<Tensor> outputs;
  for (int64_t t = 0; t < T; t += step) {
    const int64_t n = std::min(step, T - t);
    const auto piece = [&](const Tensor& x) { return x.narrow(2, t, n); };
    outputs.push_back(decayed_chunk({piece(q), piece(k), piece(v), piece(g), piece(resets)}, bonus, s));
  }
  if (!states.empty()) states[0] = s.narrow(3, 0, Dv);
  if (states.size() > 1) states[1] = s.select(3, Dv);
  Tensor o = torch::cat(outputs, 2);
  if (options.normalize) o = o.narrow(3, 0, Dv) / (o.narrow(3, Dv, 1) + options.eps);
  if (padding.defined()) o = torch::where(padding, zero, o);
  return o.transpose(1, 2).contiguous();
}

}  // namespace

std::vector<Tensor> linear_attention_composite(const Core& core, const std::vector<Tensor>& operands,
                                               std::vector<Tensor>& states) {
  const auto& linear = static_cast<const LinearAttentionCore&>(core);
  if (linear.decay != Decay::kNone) return {decayed_composite(linear, operands, states)};
  return {causal_composite(operands, LinearSimilarity(linear.options.scale), linear.options, states)};
}

}  // namespace rebased
