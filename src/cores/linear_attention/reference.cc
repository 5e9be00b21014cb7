#include "cores/linear_attention/kernel.h"

#include <cmath>
#include <vector>

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

// --- with decay: one number of the state, of feature f and value e (e = Dv: of the normaliser), through time ---

struct Lane {
  int64_t b, h, f, e;
};

bool normaliser(const Args& x, const Lane& at) { return at.e == x.Dv; }
int64_t feature(const Args& x, const Lane& at, int64_t t) { return token(x, at.b, t, at.h) * x.F + at.f; }
int64_t state_of(const Args& x, const Lane& at) {
  const int64_t row = (at.b * x.H + at.h) * x.F + at.f;
  return normaliser(x, at) ? row : row * x.Dv + at.e;
}
double value_of(const Args& x, const Lane& at, int64_t t) {
  return normaliser(x, at) ? 1 : x.v[token(x, at.b, t, at.h) * x.Dv + at.e];
}
double bonus_of(const Args& x, const Lane& at) { return x.bonus[at.h * x.F + at.f]; }

int64_t decay_of(const Args& x, const Lane& at, int64_t t) {
  if (x.decay == Decay::kHead) return at.h;
  return x.decay == Decay::kToken ? token(x, at.b, t, at.h) : feature(x, at, t);
}

// A token's place in its document: nothing from before a first one is read, and padding neither reads nor writes.
bool padding(const Args& x, const Lane& at, int64_t t) {
  return x.positions != nullptr && x.positions[at.b * x.T + t] < 0;
}
bool first(const Args& x, const Lane& at, int64_t t) {
  return x.positions != nullptr && x.positions[at.b * x.T + t] == 0;
}

double factor_of(const Args& x, const Lane& at, int64_t t) {
  if (padding(x, at, t)) return 1;
  return first(x, at, t) ? 0 : std::exp(x.log_decay[decay_of(x, at, t)]);
}

// The number before every token and behind the last.
void pass(const Args& x, const Lane& at, std::vector<double>& s) {
  const double* s0 = normaliser(x, at) ? x.z0 : x.s0;
  s[0] = s0 != nullptr ? s0[state_of(x, at)] : 0;
  for (int64_t t = 0; t < x.T; ++t) {
    const auto i = static_cast<size_t>(t);
    s[i + 1] = factor_of(x, at, t) * s[i];
    if (!padding(x, at, t)) s[i + 1] += x.k[feature(x, at, t)] * value_of(x, at, t);
  }
}

// What a query reads of it: behind its own token, or with a bonus before it.
double read(const Args& x, const Lane& at, int64_t t, const std::vector<double>& s) {
  const auto i = static_cast<size_t>(t);
  if (x.bonus == nullptr) return s[i + 1];
  return (first(x, at, t) ? 0 : s[i]) + bonus_of(x, at) * x.k[feature(x, at, t)] * value_of(x, at, t);
}

template <class F>
void for_each_lane(const Args& x, int64_t b, int64_t h, const F& f) {
  for (int64_t i = 0; i < x.F; ++i) {
    for (int64_t e = 0; e < x.Dv + (x.normalize ? 1 : 0); ++e) f(Lane{b, h, i, e});
  }
}

void decayed_head(const Args& x, int64_t b, int64_t h) {
  std::vector<double> s(static_cast<size_t>(x.T + 1)), z(static_cast<size_t>(x.T));
  for (int64_t t = 0; t < x.T; ++t) {
    for (int64_t e = 0; e < x.Dv; ++e) x.o[token(x, b, t, h) * x.Dv + e] = 0;
  }
  for_each_lane(x, b, h, [&](const Lane& at) {
    pass(x, at, s);
    for (int64_t t = 0; t < x.T; ++t) {
      if (padding(x, at, t)) continue;
      const double part = x.scale * x.q[feature(x, at, t)] * read(x, at, t, s);
      (normaliser(x, at) ? z[static_cast<size_t>(t)] : x.o[token(x, b, t, h) * x.Dv + at.e]) += part;
    }
    if (x.sT != nullptr) (normaliser(x, at) ? x.zT : x.sT)[state_of(x, at)] = s.back();
  });
  for (int64_t t = 0; x.normalize && t < x.T; ++t) {
    const double sum = z[static_cast<size_t>(t)];
    if (x.z != nullptr) x.z[token(x, b, t, h)] = sum;
    if (padding(x, {b, h, 0, 0}, t)) continue;
    for (int64_t e = 0; e < x.Dv; ++e) x.o[token(x, b, t, h) * x.Dv + e] /= sum + x.eps;
  }
}

// From the last token to the first; ds is the gradient of the number behind token t.
void decayed_lane_grad(const GradArgs& grad, const Lane& at, std::vector<double>& s) {
  const Args& x = grad.forward;
  pass(x, at, s);
  const double* d_last = normaliser(x, at) ? grad.d_zT : grad.d_sT;
  double ds = d_last != nullptr ? d_last[state_of(x, at)] : 0;
  for (int64_t t = x.T - 1; t >= 0; --t) {
    if (padding(x, at, t)) continue;
    const int64_t row = token(x, at.b, t, at.h), i = feature(x, at, t);
    const RowGrad d = row_grad(grad, row);
    const double g = normaliser(x, at) ? d.dz : d.u * grad.d_o[row * x.Dv + at.e];
    const double k = x.k[i], v = value_of(x, at, t), from_read = x.scale * x.q[i] * g;
    const double decay = factor_of(x, at, t), before = s[static_cast<size_t>(t)];
    grad.dq[i] += x.scale * g * read(x, at, t, s);
    if (x.bonus == nullptr) ds += from_read;
    const double d_write = ds + (x.bonus != nullptr ? bonus_of(x, at) * from_read : 0);
    grad.dk[i] += d_write * v;
    if (!normaliser(x, at)) grad.dv[row * x.Dv + at.e] += d_write * k;
    if (grad.d_bonus != nullptr) grad.d_bonus[at.h * x.F + at.f] += from_read * k * v;
    if (grad.d_log_decay != nullptr) grad.d_log_decay[decay_of(x, at, t)] += ds * decay * before;
    ds = decay * ds + (x.bonus != nullptr && !first(x, at, t) ? from_read : 0);
  }
  double* d_first = normaliser(x, at) ? grad.d_z0 : grad.d_s0;
  if (d_first != nullptr) d_first[state_of(x, at)] = ds;
}

void clear_decay(const GradArgs& grad) {
  const Args& x = grad.forward;
  const int64_t tokens = x.B * x.T * x.H;
  const int64_t decays = x.decay == Decay::kHead ? x.H : x.decay == Decay::kToken ? tokens : tokens * x.F;
  for (int64_t i = 0; grad.d_log_decay != nullptr && i < decays; ++i) grad.d_log_decay[i] = 0;
  for (int64_t i = 0; grad.d_bonus != nullptr && i < x.H * x.F; ++i) grad.d_bonus[i] = 0;
}

void decayed_head_grad(const GradArgs& grad, int64_t b, int64_t h) {
  std::vector<double> s(static_cast<size_t>(grad.forward.T + 1));
  for_each_lane(grad.forward, b, h, [&](const Lane& at) { decayed_lane_grad(grad, at, s); });
}

void decayed(const Args& x) {
  for (int64_t b = 0; b < x.B; ++b) {
    for (int64_t h = 0; h < x.H; ++h) decayed_head(x, b, h);
  }
}

void decayed_grad(const GradArgs& grad) {
  clear(grad);
  clear_decay(grad);
  for (int64_t b = 0; b < grad.forward.B; ++b) {
    for (int64_t h = 0; h < grad.forward.H; ++h) decayed_head_grad(grad, b, h);
  }
}

}  // namespace

void linear_attention(const Args& args) noexcept {
  args.decay != Decay::kNone ? decayed(args) : over_documents(args, forward);
}

void linear_attention_grad(const GradArgs& args) noexcept {
  args.forward.decay != Decay::kNone ? decayed_grad(args) : grads_over_documents(args, backward);
}

}  // namespace rebased::kernels::reference
