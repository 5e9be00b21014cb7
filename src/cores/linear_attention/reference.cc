#include "cores/linear_attention/documents.h"
#include "cores/linear_attention/kernel.h"

#include "cores/linear_attention/documents.h"

namespace rebased::kernels::reference {
namespace {

using Args = LinearAttentionArgs<double>;
using GradArgs = LinearAttentionGradArgs<double>;

int64_t token(const Args& x, int64_t b, int64_t t, int64_t h) { return (b * x.T + t) * x.H + h; }

double dot(int64_t n, const double* x, const double* y) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

void forward_token(const Args& x, int64_t b, int64_t h, int64_t t) {
  const int64_t query = token(x, b, t, h), state = (b * x.H + h) * x.F;
  const double* q = x.q + query * x.F;
  double* o = x.o + query * x.Dv;
  double z = x.z0 != nullptr ? x.scale * dot(x.F, q, x.z0 + state) : 0;
  for (int64_t e = 0; e < x.Dv; ++e) {
    o[e] = 0;
    for (int64_t f = 0; x.s0 != nullptr && f < x.F; ++f) o[e] += x.scale * q[f] * x.s0[(state + f) * x.Dv + e];
  }
  for (int64_t s = 0; s <= t; ++s) {
    const int64_t key = token(x, b, s, h);
    const double weight = x.scale * dot(x.F, q, x.k + key * x.F);
    z += weight;
    for (int64_t e = 0; e < x.Dv; ++e) o[e] += weight * x.v[key * x.Dv + e];
  }
  if (x.z != nullptr) x.z[query] = z;
  if (!x.normalize) return;
  for (int64_t e = 0; e < x.Dv; ++e) o[e] /= z + x.eps;
}

void final_state(const Args& x, int64_t b, int64_t h) {
  const int64_t state = (b * x.H + h) * x.F;
  for (int64_t f = 0; f < x.F; ++f) {
    double z = x.z0 != nullptr ? x.z0[state + f] : 0;
    for (int64_t t = 0; t < x.T; ++t) z += x.k[token(x, b, t, h) * x.F + f];
    x.zT[state + f] = z;
    for (int64_t e = 0; e < x.Dv; ++e) {
      double s = x.s0 != nullptr ? x.s0[(state + f) * x.Dv + e] : 0;
      for (int64_t t = 0; t < x.T; ++t) {
        const int64_t key = token(x, b, t, h);
        s += x.k[key * x.F + f] * x.v[key * x.Dv + e];
      }
      x.sT[(state + f) * x.Dv + e] = s;
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

void backward_states(const GradArgs& grad, int64_t b, int64_t h, int64_t t) {
  const Args& x = grad.forward;
  const int64_t row = token(x, b, t, h), state = (b * x.H + h) * x.F;
  const RowGrad d = row_grad(grad, row);
  const double *g = grad.d_o + row * x.Dv, *v = x.v + row * x.Dv;
  for (int64_t f = 0; f < x.F; ++f) {
    const double q = x.scale * x.q[row * x.F + f], k = x.k[row * x.F + f];
    const int64_t s = (state + f) * x.Dv;
    if (x.s0 != nullptr) grad.dq[row * x.F + f] += x.scale * (d.u * dot(x.Dv, g, x.s0 + s) + d.dz * x.z0[state + f]);
    if (grad.d_zT != nullptr) grad.dk[row * x.F + f] += grad.d_zT[state + f];
    if (grad.d_sT != nullptr) grad.dk[row * x.F + f] += dot(x.Dv, v, grad.d_sT + s);
    if (grad.d_z0 != nullptr) grad.d_z0[state + f] += d.dz * q;
    for (int64_t e = 0; e < x.Dv; ++e) {
      if (grad.d_sT != nullptr) grad.dv[row * x.Dv + e] += k * grad.d_sT[s + e];
      if (grad.d_s0 != nullptr) grad.d_s0[s + e] += d.u * g[e] * q;
    }
  }
}

void backward_pairs(const GradArgs& grad, int64_t b, int64_t h, int64_t t) {
  const Args& x = grad.forward;
  const int64_t query = token(x, b, t, h);
  const RowGrad d = row_grad(grad, query);
  const double* g = grad.d_o + query * x.Dv;
  for (int64_t s = 0; s <= t; ++s) {
    const int64_t key = token(x, b, s, h);
    const double weight = x.scale * dot(x.F, x.q + query * x.F, x.k + key * x.F);
    const double d_weight = x.scale * (d.u * dot(x.Dv, g, x.v + key * x.Dv) + d.dz);
    for (int64_t e = 0; e < x.Dv; ++e) grad.dv[key * x.Dv + e] += weight * d.u * g[e];
    for (int64_t f = 0; f < x.F; ++f) {
      grad.dq[query * x.F + f] += d_weight * x.k[key * x.F + f];
      grad.dk[key * x.F + f] += d_weight * x.q[query * x.F + f];
    }
  }
}

void clear(const GradArgs& grad) {
  const Args& x = grad.forward;
  const int64_t rows = x.B * x.T * x.H, states = x.B * x.H * x.F;
  for (int64_t i = 0; i < rows * x.F; ++i) grad.dq[i] = grad.dk[i] = 0;
  for (int64_t i = 0; i < rows * x.Dv; ++i) grad.dv[i] = 0;
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
      for (int64_t t = 0; t < args.T; ++t) forward_token(args, b, h, t);
      if (args.sT != nullptr) final_state(args, b, h);
    }
  }
}

void backward(const GradArgs& args) {
  const Args& x = args.forward;
  clear(args);
  for (int64_t b = 0; b < x.B; ++b) {
    for (int64_t h = 0; h < x.H; ++h) {
      for (int64_t t = 0; t < x.T; ++t) {
        backward_pairs(args, b, h, t);
        backward_states(args, b, h, t);
      }
    }
  }
}

}  // namespace

void linear_attention(const Args& args) noexcept { over_documents(args, forward); }

void linear_attention_grad(const GradArgs& args) noexcept { grads_over_documents(args, backward); }

}  // namespace rebased::kernels::reference
