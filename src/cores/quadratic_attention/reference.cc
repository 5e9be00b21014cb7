#include "cores/quadratic_attention/kernel.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "cores/linear_attention/documents.h"

namespace rebased::kernels::reference {
namespace {

using Args = QuadraticAttentionArgs<double>;
using GradArgs = QuadraticAttentionGradArgs<double>;
constexpr int64_t kMaxFeatures = 1 + kMaxKeyDim + kMaxKeyDim * (kMaxKeyDim + 1) / 2;
using Features = std::array<double, kMaxFeatures>;

int64_t token(const Args& x, int64_t b, int64_t t, int64_t h) { return (b * x.T + t) * x.H + h; }

// Rows of q, the row of the i-th, and the token that it is.
int64_t query_count(const Args& x) { return x.queries != nullptr ? x.N : x.T; }
int64_t query_row(const Args& x, int64_t b, int64_t i, int64_t h) { return (b * query_count(x) + i) * x.H + h; }
int64_t query_token(const Args& x, int64_t b, int64_t i) { return x.queries != nullptr ? x.queries[b * x.N + i] : i; }

double dot(int64_t n, const double* x, const double* y) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// What multiplies the constant, the linear and the quadratic monomials.
struct Weights {
  double constant, linear, quadratic;
};

Weights query_weights(const Args& x) { return {x.kernel.a, x.kernel.b * x.scale, x.kernel.c * x.scale * x.scale}; }

Features monomials(const Args& args, const double* x, const Weights& weights) {
  Features features{};
  int64_t f = 0;
  if (args.kernel.a != 0) features[f++] = weights.constant;
  if (args.kernel.b != 0) {
    for (int64_t i = 0; i < args.Dk; ++i) features[f++] = weights.linear * x[i];
  }
  if (args.kernel.c != 0) {
    for (int64_t i = 0; i < args.Dk; ++i) features[f++] = weights.quadratic * x[i] * x[i];
    for (int64_t i = 0; i < args.Dk; ++i) {
      for (int64_t j = i + 1; j < args.Dk; ++j) features[f++] = weights.quadratic * std::numbers::sqrt2 * x[i] * x[j];
    }
  }
  return features;
}

// dx += d(monomials)/dx^T d_features.
void add_monomials_grad(const Args& args, const double* x, const Weights& weights, const Features& d_features,
                        double* dx) {
  int64_t f = args.kernel.a != 0 ? 1 : 0;
  if (args.kernel.b != 0) {
    for (int64_t i = 0; i < args.Dk; ++i) dx[i] += weights.linear * d_features[f++];
  }
  if (args.kernel.c == 0) return;
  for (int64_t i = 0; i < args.Dk; ++i) dx[i] += 2 * weights.quadratic * x[i] * d_features[f++];
  for (int64_t i = 0; i < args.Dk; ++i) {
    for (int64_t j = i + 1; j < args.Dk; ++j, ++f) {
      dx[i] += weights.quadratic * std::numbers::sqrt2 * x[j] * d_features[f];
      dx[j] += weights.quadratic * std::numbers::sqrt2 * x[i] * d_features[f];
    }
  }
}

double score(const Args& x, int64_t query, int64_t key) {
  return x.scale * dot(x.Dk, x.q + query * x.Dk, x.k + key * x.Dk);
}

void forward_query(const Args& x, int64_t b, int64_t h, int64_t i) {
  const int64_t F = quadratic_feature_count(x.Dk, x.kernel), query = query_row(x, b, i, h);
  double* o = x.o + query * x.Dv;
  double z = 0;
  for (int64_t e = 0; e < x.Dv; ++e) o[e] = 0;
  if (x.s0 != nullptr) {
    const Features phi = monomials(x, x.q + query * x.Dk, query_weights(x));
    const int64_t state = (b * x.H + h) * F;
    z = dot(F, phi.data(), x.z0 + state);
    for (int64_t f = 0; f < F; ++f) {
      for (int64_t e = 0; e < x.Dv; ++e) o[e] += phi[f] * x.s0[(state + f) * x.Dv + e];
    }
  }
  for (int64_t s = 0; s <= query_token(x, b, i); ++s) {
    const int64_t key = token(x, b, s, h);
    const double similarity = score(x, query, key);
    const double weight = x.kernel.a + similarity * (x.kernel.b + similarity * x.kernel.c);
    z += weight;
    for (int64_t e = 0; e < x.Dv; ++e) o[e] += weight * x.v[key * x.Dv + e];
  }
  if (x.z != nullptr) x.z[query] = z;
  if (!x.normalize) return;
  for (int64_t e = 0; e < x.Dv; ++e) o[e] /= z + x.eps;
}

void final_state(const Args& x, int64_t b, int64_t h) {
  const int64_t F = quadratic_feature_count(x.Dk, x.kernel), state = (b * x.H + h) * F;
  for (int64_t f = 0; f < F; ++f) {
    x.zT[state + f] = x.z0 != nullptr ? x.z0[state + f] : 0;
    for (int64_t e = 0; e < x.Dv; ++e) {
      const int64_t at = (state + f) * x.Dv + e;
      x.sT[at] = x.s0 != nullptr ? x.s0[at] : 0;
    }
  }
  for (int64_t t = 0; t < x.T; ++t) {
    const int64_t key = token(x, b, t, h);
    const Features phi = monomials(x, x.k + key * x.Dk, {1, 1, 1});
    for (int64_t f = 0; f < F; ++f) {
      x.zT[state + f] += phi[f];
      for (int64_t e = 0; e < x.Dv; ++e) x.sT[(state + f) * x.Dv + e] += phi[f] * x.v[key * x.Dv + e];
    }
  }
}

// d num = u g and d z = -u g.o of one query, u = 1 / (z + eps).
struct RowGrad {
  double u, dz;
};

RowGrad row_grad(const GradArgs& grad, int64_t query) {
  const Args& x = grad.forward;
  if (!x.normalize) return {1, 0};
  const double u = 1 / (x.z[query] + x.eps);
  return {u, -u * dot(x.Dv, grad.d_o + query * x.Dv, x.o + query * x.Dv)};
}

// The initial state's part of the query's gradient, and the query's part of the initial state's gradient.
void backward_initial_state(const GradArgs& grad, int64_t b, int64_t h, int64_t t) {
  const Args& x = grad.forward;
  const int64_t F = quadratic_feature_count(x.Dk, x.kernel), query = token(x, b, t, h), state = (b * x.H + h) * F;
  const RowGrad row = row_grad(grad, query);
  const double* g = grad.d_o + query * x.Dv;
  const Features phi = monomials(x, x.q + query * x.Dk, query_weights(x));
  Features d_phi{};
  for (int64_t f = 0; f < F; ++f) {
    if (x.s0 != nullptr) d_phi[f] = row.u * dot(x.Dv, g, x.s0 + (state + f) * x.Dv) + row.dz * x.z0[state + f];
    if (grad.d_z0 != nullptr) grad.d_z0[state + f] += row.dz * phi[f];
    for (int64_t e = 0; grad.d_s0 != nullptr && e < x.Dv; ++e) {
      grad.d_s0[(state + f) * x.Dv + e] += row.u * g[e] * phi[f];
    }
  }
  add_monomials_grad(x, x.q + query * x.Dk, query_weights(x), d_phi, grad.dq + query * x.Dk);
}

// The final state's gradient reaches every key and value.
void backward_final_state(const GradArgs& grad, int64_t b, int64_t h, int64_t t) {
  const Args& x = grad.forward;
  const int64_t F = quadratic_feature_count(x.Dk, x.kernel), key = token(x, b, t, h), state = (b * x.H + h) * F;
  const Features phi = monomials(x, x.k + key * x.Dk, {1, 1, 1});
  Features d_phi{};
  for (int64_t f = 0; f < F; ++f) {
    if (grad.d_zT != nullptr) d_phi[f] += grad.d_zT[state + f];
    if (grad.d_sT == nullptr) continue;
    const double* ds = grad.d_sT + (state + f) * x.Dv;
    d_phi[f] += dot(x.Dv, ds, x.v + key * x.Dv);
    for (int64_t e = 0; e < x.Dv; ++e) grad.dv[key * x.Dv + e] += phi[f] * ds[e];
  }
  add_monomials_grad(x, x.k + key * x.Dk, {1, 1, 1}, d_phi, grad.dk + key * x.Dk);
}

// dA = u g.(v - o) of every pair; dv += A u g; dq, dk through the score.
void backward_pairs(const GradArgs& grad, int64_t b, int64_t h, int64_t n) {
  const Args& x = grad.forward;
  const int64_t query = query_row(x, b, n, h);
  const RowGrad row = row_grad(grad, query);
  const double* g = grad.d_o + query * x.Dv;
  for (int64_t s = 0; s <= query_token(x, b, n); ++s) {
    const int64_t key = token(x, b, s, h);
    const double similarity = score(x, query, key);
    const double weight = x.kernel.a + similarity * (x.kernel.b + similarity * x.kernel.c);
    double d_weight = 0;
    for (int64_t e = 0; e < x.Dv; ++e) {
      const double centre = x.normalize ? x.o[query * x.Dv + e] : 0;
      d_weight += row.u * g[e] * (x.v[key * x.Dv + e] - centre);
      grad.dv[key * x.Dv + e] += weight * row.u * g[e];
    }
    const double d_score = x.scale * d_weight * (x.kernel.b + 2 * x.kernel.c * similarity);
    for (int64_t i = 0; i < x.Dk; ++i) {
      grad.dq[query * x.Dk + i] += d_score * x.k[key * x.Dk + i];
      grad.dk[key * x.Dk + i] += d_score * x.q[query * x.Dk + i];
    }
  }
}

void clear(const GradArgs& grad) {
  const Args& x = grad.forward;
  const int64_t rows = x.B * x.T * x.H, states = x.B * x.H * quadratic_feature_count(x.Dk, x.kernel);
  std::fill_n(grad.dq, x.B * query_count(x) * x.H * x.Dk, 0.0);
  std::fill_n(grad.dk, rows * x.Dk, 0.0);
  std::fill_n(grad.dv, rows * x.Dv, 0.0);
  for (int64_t i = 0; grad.d_s0 != nullptr && i < states * x.Dv; ++i) {
    grad.d_s0[i] = grad.d_sT != nullptr ? grad.d_sT[i] : 0;
  }
  for (int64_t i = 0; grad.d_z0 != nullptr && i < states; ++i) {
    grad.d_z0[i] = grad.d_zT != nullptr ? grad.d_zT[i] : 0;
  }
}

void forward(const Args& args) {
  for (int64_t b = 0; b < args.B; ++b) {
    for (int64_t h = 0; h < args.H; ++h) {
      for (int64_t i = 0; i < query_count(args); ++i) forward_query(args, b, h, i);
      if (args.sT != nullptr) final_state(args, b, h);
    }
  }
}

void backward(const GradArgs& args) {
  const Args& x = args.forward;
  clear(args);
  for (int64_t b = 0; b < x.B; ++b) {
    for (int64_t h = 0; h < x.H; ++h) {
      for (int64_t i = 0; i < query_count(x); ++i) backward_pairs(args, b, h, i);
      for (int64_t t = 0; t < x.T; ++t) {
        if (x.s0 != nullptr || args.d_s0 != nullptr || args.d_z0 != nullptr) backward_initial_state(args, b, h, t);
        if (args.d_sT != nullptr || args.d_zT != nullptr) backward_final_state(args, b, h, t);
      }
    }
  }
}

}  // namespace

void quadratic_attention(const Args& args) noexcept { over_documents(args, forward); }

void quadratic_attention_grad(const GradArgs& args) noexcept { grads_over_documents(args, backward); }

}  // namespace rebased::kernels::reference
