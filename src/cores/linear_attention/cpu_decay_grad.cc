#include "cores/linear_attention/cpu_decay.h"

#include <numeric>

#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/linear_attention/cpu_decay_grad.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"

#include "cores/linear_attention/decay-inl.h"

// With S_t the state behind token t, dS_t its gradient, <.,.> sums over values, and r_t the query as it meets S_{t-1}:
//   dr_t = S_{t-1} do_t,  dk_t = dS_t v_t + (what a token gives itself),  dS_{t-1} = A_t dS_t + r_t do_t^T
//   d log A_t = A_t <dS_t, S_{t-1}> + (r_t dr_t where r_t holds A_t)
// The last is summed over what passes the token, pair by pair: a difference of sums from the end would be all rounding
// under a strong decay. States lie turned, features in lanes.
HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::decayed::HWY_NAMESPACE {
namespace {

// state [values, ld_f] from s [F, Dv] and z [F]; null: zeros.
void load_turned(const Args& x, const Plan& p, int64_t head, const float* s, const float* z, float* state) {
  fill(p.values * p.ld_f, 0, state);
  if (s != nullptr) transpose_any(x.F, x.Dv, s + head * x.F * x.Dv, x.Dv, state, p.ld_f);
  if (z != nullptr && x.normalize) std::copy_n(z + head * x.F, x.F, state + x.Dv * p.ld_f);
}

// to = whole from + rows^T ends: rows [n, ld_v] of values, ends [n, ld_f] of features.
void advance_turned(const Plan& p, int64_t n, const float* rows, const float* ends, const float* from, const Work& w,
                    float* to) {
  for (int64_t e = 0; e < p.values; ++e) multiply_row(p.ld_f, from + e * p.ld_f, w.whole, to + e * p.ld_f);
  multiply(p.values, p.ld_f, n, {rows, 1, p.ld_v}, ends, p.ld_f, true, to, p.ld_f);
}

float* state_before(const Plan& p, int64_t chunk, const Work& w) { return w.state + chunk * p.values * p.ld_f; }

Stretch stretch_of(const Args& x, const Plan& p, int64_t head, int64_t chunk) {
  return {head, chunk * p.chunk, std::min(p.chunk, x.T - chunk * p.chunk)};
}

// The states at the start of every chunk.
void load_states(const Args& x, const Plan& p, int64_t head, const Work& w) {
  load_turned(x, p, head, x.s0, x.z0, state_before(p, 0, w));
  for (int64_t c = 0; c + 1 < p.chunks; ++c) {
    const Stretch at = stretch_of(x, p, head, c);
    load(x, p, at, w);
    load_ends(x, p, at.head, at.n, w);
    advance_turned(p, at.n, w.v, w.to_end, state_before(p, c, w), w, state_before(p, c + 1, w));
  }
}

// Gradients of the sums behind the outputs: u do, and -u do.o of the normaliser, u = 1 / (z + eps).
void load_output_grads(const GradArgs& grad, const Plan& p, const Stretch& at, const Work& w) {
  const Args& x = grad.forward;
  for (int64_t i = 0; i < at.n; ++i) {
    const int64_t token = token_at(x, at.head, at.t + i);
    const float* d_o = grad.d_o + token * x.Dv;
    float* g = w.g + i * p.ld_v;
    if (position_of(x, at.head, at.t + i) < 0) {
      fill(p.ld_v, 0, g);
      continue;
    }
    const float u = x.normalize ? 1 / (x.z[token] + static_cast<float>(x.eps)) : 1;
    load_rows(1, x.Dv, d_o, x.Dv, u, g, p.ld_v);
    if (!x.normalize) continue;
    const float* o = x.o + token * x.Dv;
    Vec sum = hn::Zero(Tag());
    for_each_vector(x.Dv, [&](int64_t e, auto in) HWY_ATTR { sum = hn::MulAdd(in.load(g + e), in.load(o + e), sum); });
    g[x.Dv] = -sum_lanes(sum);
  }
}

// d_scores[i, j] = g_i . v_j
void load_score_grads(const Plan& p, int64_t n, const Work& w) {
  fill((p.ld_t - n) * p.ld_v, 0, w.v + n * p.ld_v);
  transpose(p.ld_t, p.ld_v, w.v, p.ld_v, w.values_turned, p.ld_t);
  over_queries(n, [&](int64_t i, int64_t rows, int64_t keys) HWY_ATTR {
    multiply(rows, round_up(keys, kPad), p.values, {w.g + i * p.ld_v, p.ld_v, 1}, w.values_turned, p.ld_t, false,
             w.d_scores + i * p.ld_t, p.ld_t);
  });
}

// dv_j = sum_i scores[i, j] g_i + dS to_end_j, of a chunk.
void load_value_grads(const Plan& p, int64_t n, const Work& w) {
  fill((p.ld_t - n) * p.ld_f, 0, w.to_end + n * p.ld_f);
  transpose(p.ld_t, p.ld_f, w.to_end, p.ld_f, w.turned, p.ld_t);
  multiply(p.values, p.ld_t, p.ld_f, {w.d_state, p.ld_f, 1}, w.turned, p.ld_t, false, w.dv_turned, p.ld_t);
  for (int64_t i = 0; i < n; i += kPad) {  // the keys of a block of queries end with it
    multiply(p.values, std::min(i + kPad, p.ld_t), std::min(kPad, n - i), {w.g + i * p.ld_v, 1, p.ld_v},
             w.scores + i * p.ld_t, p.ld_t, true, w.dv_turned, p.ld_t);
  }
  fill((p.ld_v - p.values) * p.ld_t, 0, w.dv_turned + p.values * p.ld_t);
  transpose(p.ld_v, p.ld_t, w.dv_turned, p.ld_t, w.dv, p.ld_v);
}

// d_reading_i = factors ... (factors (S g_i) + d_scores[i, 0] k_0) ... + d_scores[i, i-1] k_{i-1}
template <int kVecs>
void feature_reading_grads(const Plan& p, int64_t n, int64_t f, const Work& w) {
  const int64_t step = lane_count();
  const Tag d;
  for (int64_t i = 1; i < n; ++i) {
    float* row = w.d_reading + i * p.ld_f + f;
    Vec sum[kVecs];
    for (int v = 0; v < kVecs; ++v) sum[v] = hn::LoadU(d, row + v * step);
    for (int64_t j = 0; j < i; ++j) {
      const Vec weight = hn::Set(d, w.d_scores[i * p.ld_t + j]);
      const float *factor = w.factor + j * p.ld_f + f, *k = w.k + j * p.ld_f + f;
      for (int v = 0; v < kVecs; ++v) {
        sum[v] = hn::MulAdd(hn::LoadU(d, factor + v * step), sum[v], hn::Mul(weight, hn::LoadU(d, k + v * step)));
      }
    }
    for (int v = 0; v < kVecs; ++v) hn::StoreU(sum[v], d, row + v * step);
  }
}

// dk_j likewise from the chunk's end, dS v_j. On the way there that of the state behind token i is dS_i v_j: times the
// key as it reaches token i and the factor there, a summand of d log of that factor. With kDecay these are summed in
// d_factor; the state at the chunk's start then comes as a key -1, whose sum begins with w.flow.
template <int kVecs, bool kDecay>
void feature_key_grads(const Plan& p, int64_t n, int64_t f, const Work& w) {
  const int64_t step = lane_count();
  const Tag d;
  for (int64_t j = kDecay ? -1 : 0; j + 1 < n; ++j) {
    float* to = (j < 0 ? w.flow : w.dk + j * p.ld_f) + f;
    Vec sum[kVecs], key[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      sum[v] = hn::LoadU(d, to + v * step);
      key[v] = j < 0 ? hn::Set(d, 1) : hn::LoadU(d, w.k + j * p.ld_f + f + v * step);
    }
    for (int64_t i = j + 1; kDecay && i < n; ++i) {
      const int64_t row = i * p.ld_f + f;
      for (int v = 0; v < kVecs; ++v) {
        key[v] = hn::Mul(key[v], hn::LoadU(d, w.factor + row + v * step));
        hn::StoreU(key[v], d, w.turned + row + v * step);
      }
    }
    for (int64_t i = n - 1; i > j; --i) {
      const int64_t row = i * p.ld_f + f;
      const Vec pair = hn::Set(d, j < 0 ? 0 : w.d_scores[i * p.ld_t + std::max<int64_t>(j, 0)]);
      for (int v = 0; v < kVecs; ++v) {
        const int64_t at = row + v * step;
        if constexpr (kDecay) {
          const Vec through = hn::MulAdd(hn::LoadU(d, w.turned + at), sum[v], hn::LoadU(d, w.d_factor + at));
          hn::StoreU(through, d, w.d_factor + at);
        }
        const Vec weight = j < 0 ? hn::LoadU(d, w.d_reading + at) : pair;
        sum[v] = hn::MulAdd(hn::LoadU(d, w.factor + at), sum[v], hn::Mul(weight, hn::LoadU(d, w.reading + at)));
      }
    }
    for (int v = 0; v < kVecs; ++v) hn::StoreU(sum[v], d, to + v * step);
  }
}

void token_pair_grads(const Plan& p, int64_t n, const Work& w) {
  for (int64_t i = 0; i < n; ++i) {
    multiply_row(p.ld_t, w.d_scores + i * p.ld_t, w.between + i * p.ld_t, w.scores + i * p.ld_t);
    multiply_row(p.ld_f, w.d_reading + i * p.ld_f, w.before[i], w.d_reading + i * p.ld_f);
    multiply_row(p.ld_f, w.dk + i * p.ld_f, w.behind[i], w.dk + i * p.ld_f);
  }
  over_queries(n, [&](int64_t i, int64_t rows, int64_t keys) HWY_ATTR {
    const float* pairs = w.scores + i * p.ld_t;
    multiply(rows, p.ld_f, keys, {pairs, p.ld_t, 1}, w.k, p.ld_f, true, w.d_reading + i * p.ld_f, p.ld_f);
    multiply(keys, p.ld_f, rows, {pairs, 1, p.ld_t}, w.reading + i * p.ld_f, p.ld_f, true, w.dk, p.ld_f);
  });
}

// d_reading and dk behind the states alone: S g and dS v.
void meet_states(const Plan& p, int64_t n, const float* state, const Work& w) {
  multiply(n, p.ld_f, p.values, {w.g, p.ld_v, 1}, state, p.ld_f, false, w.d_reading, p.ld_f);
  multiply(n, p.ld_f, p.values, {w.v, p.ld_v, 1}, w.d_state, p.ld_f, false, w.dk, p.ld_f);
}

// d_reading, and dk without what a token gives itself, behind meet_states. The scores are used up. With `decay` and one
// factor a feature d_factor too, behind load_flow.
void load_key_grads(const Plan& p, int64_t n, bool decay, const Work& w) {
  if (!p.by_feature) return token_pair_grads(p, n, w);
  if (decay) fill(n * p.ld_f, 0, w.d_factor);
  over_features(p, [&](auto vecs, int64_t f) HWY_ATTR {
    constexpr int kVecs = decltype(vecs)::value;
    decay ? feature_key_grads<kVecs, true>(p, n, f, w) : feature_key_grads<kVecs, false>(p, n, f, w);
    feature_reading_grads<kVecs>(p, n, f, w);
  });
}

// Gradients of one (batch, head) that all its tokens share.
struct Sums {
  double* log_decay;  // [1]
  float* bonus;       // [F], or null
};

// d log_decay of one factor a feature: d_factor, and what the token's own query meets.
void feature_decay_grads(const GradArgs& grad, const Plan& p, const Stretch& at, const Work& w) {
  const Args& x = grad.forward;
  for (int64_t i = 0; i < at.n; ++i) {
    float* to = grad.d_log_decay + token_at(x, at.head, at.t + i) * x.F;
    const int64_t row = i * p.ld_f;
    if (position_of(x, at.head, at.t + i) < 0) {
      fill(x.F, 0, to);
      continue;
    }
    for_each_vector(x.F, [&](int64_t f, auto out) HWY_ATTR {
      const Vec through = hn::LoadU(Tag(), w.d_factor + row + f), reading = hn::LoadU(Tag(), w.reading + row + f);
      const Vec met = hn::MulAdd(reading, hn::LoadU(Tag(), w.d_reading + row + f), through);
      out.store(x.bonus != nullptr ? through : met, to + f);
    });
  }
}

float dot(int64_t ld, const float* a, const float* b) {
  Vec sum = hn::Zero(Tag());
  for (int64_t f = 0; f < ld; f += lane_count()) {
    sum = hn::MulAdd(hn::LoadU(Tag(), a + f), hn::LoadU(Tag(), b + f), sum);
  }
  return sum_lanes(sum);
}

void load_flow(const Plan& p, const float* state, const Work& w) {
  fill(p.ld_f, 0, w.flow);
  for (int64_t e = 0; e < p.values; ++e) {
    const float *s = state + e * p.ld_f, *ds = w.d_state + e * p.ld_f;
    for (int64_t f = 0; f < p.ld_f; f += lane_count()) {
      const Vec sum = hn::LoadU(Tag(), w.flow + f);
      hn::StoreU(hn::MulAdd(hn::LoadU(Tag(), s + f), hn::LoadU(Tag(), ds + f), sum), Tag(), w.flow + f);
    }
  }
}

// The same of one factor a token: what every pair and every state passes through it, summed without a difference. While
// d_reading is S g, dk is dS v, and the scores are still there.
void token_decay_grads(const GradArgs& grad, const Plan& p, const Stretch& at, const Sums& sums, const Work& w) {
  const Args& x = grad.forward;
  const bool met = x.bonus == nullptr;  // a query meets what decayed at its own token too
  double d[kMostChunk];                 // long sums that nearly cancel where values are averaged
  std::fill_n(d, at.n, dot(p.ld_f, w.whole, w.flow));
  for (int64_t i = 1; i < at.n; ++i) {
    double pairs = 0;
    for (int64_t j = 0; j < (met ? i : i - 1); ++j) {
      pairs += w.scores[i * p.ld_t + j] * w.d_scores[i * p.ld_t + j];
      d[j + 1] += pairs;
    }
  }
  double keys = 0, queries = 0;
  for (int64_t i = 0; i < at.n; ++i) {
    d[i] += keys;
    keys += dot(p.ld_f, w.to_end + i * p.ld_f, w.dk + i * p.ld_f);
  }
  for (int64_t i = at.n - 1; i >= 0; --i) {
    const double query = dot(p.ld_f, w.from_start + i * p.ld_f, w.d_reading + i * p.ld_f);
    d[i] += met ? queries + query : queries;
    queries += query;
  }
  for (int64_t i = 0; i < at.n; ++i) d[i] = position_of(x, at.head, at.t + i) < 0 ? 0 : d[i];
  if (x.decay == Decay::kHead) *sums.log_decay += std::accumulate(d, d + at.n, 0.0);
  for (int64_t i = 0; x.decay == Decay::kToken && i < at.n; ++i) {
    grad.d_log_decay[token_at(x, at.head, at.t + i)] = static_cast<float>(d[i]);
  }
}

// dq, dk and dv of a chunk, with what tokens give themselves.
void store_grads(const GradArgs& grad, const Plan& p, const Stretch& at, const Sums& sums, const Work& w) {
  const Args& x = grad.forward;
  const Vec scale = hn::Set(Tag(), static_cast<float>(x.scale));
  for (int64_t i = 0; i < at.n; ++i) {
    const int64_t token = token_at(x, at.head, at.t + i), row = i * p.ld_f;
    const Vec own = hn::Set(Tag(), w.d_scores[i * p.ld_t + i]);
    const Vec factor = hn::Set(Tag(), x.bonus != nullptr || p.by_feature ? w.meets[i] : w.factor[i]);
    const bool by_feature = p.by_feature && x.bonus == nullptr;
    float *dq = grad.dq + token * x.F, *dk = grad.dk + token * x.F;
    for_each_vector(x.F, [&](int64_t f, auto out) HWY_ATTR {
      const Vec q = hn::LoadU(Tag(), w.q + row + f), k = hn::LoadU(Tag(), w.k + row + f);
      const Vec given = hn::Mul(own, hn::LoadU(Tag(), w.bonus + f));
      const Vec met = by_feature ? hn::LoadU(Tag(), w.factor + row + f) : factor;
      const Vec d_q = hn::MulAdd(met, hn::LoadU(Tag(), w.d_reading + row + f), hn::Mul(given, k));
      out.store(hn::Mul(scale, d_q), dq + f);
      out.store(hn::MulAdd(given, q, hn::LoadU(Tag(), w.dk + row + f)), dk + f);
      if (sums.bonus == nullptr) return;
      out.store(hn::MulAdd(hn::Mul(own, q), k, out.load(sums.bonus + f)), sums.bonus + f);
    });
    std::copy_n(w.dv + i * p.ld_v, x.Dv, grad.dv + token * x.Dv);
  }
}

void backward_chunk(const GradArgs& grad, const Plan& p, int64_t head, int64_t chunk, const Sums& sums, const Work& w) {
  const Args& x = grad.forward;
  const Stretch at = stretch_of(x, p, head, chunk);
  load(x, p, at, w);
  load_ends(x, p, at.head, at.n, w);
  load_scores(p, at.n, w);
  load_output_grads(grad, p, at, w);
  load_score_grads(p, at.n, w);
  load_value_grads(p, at.n, w);
  meet_states(p, at.n, state_before(p, chunk, w), w);
  const bool decay = grad.d_log_decay != nullptr;
  if (decay) load_flow(p, state_before(p, chunk, w), w);
  if (decay && !p.by_feature) token_decay_grads(grad, p, at, sums, w);
  load_key_grads(p, at.n, decay, w);
  if (decay && p.by_feature) feature_decay_grads(grad, p, at, w);
  store_grads(grad, p, at, sums, w);
  advance_turned(p, at.n, w.g, w.from_start, w.d_state, w, w.d_state);
}

void backward_head(const GradArgs& grad, const Plan& p, int64_t head, const Sums& sums, const Work& w) {
  const Args& x = grad.forward;
  if (sums.bonus != nullptr) fill(x.F, 0, sums.bonus);
  load_bonus(x, p, head, w);
  load_states(x, p, head, w);
  load_turned(x, p, head, grad.d_sT, grad.d_zT, w.d_state);
  for (int64_t c = p.chunks - 1; c >= 0; --c) backward_chunk(grad, p, head, c, sums, w);
  if (grad.d_s0 == nullptr) return;
  transpose_any(x.Dv, x.F, w.d_state, p.ld_f, grad.d_s0 + head * x.F * x.Dv, x.Dv);
  if (x.normalize) std::copy_n(w.d_state + x.Dv * p.ld_f, x.F, grad.d_z0 + head * x.F);
}

void run_heads(const GradArgs& grad, const Plan& p, int64_t begin, int64_t end, const Shared& shared, const Work& w) {
  const FlushToZero flush;
  for (int64_t head = begin; head < end; ++head) {
    double log_decay = 0;
    float* bonus = shared.bonus != nullptr ? shared.bonus + head * grad.forward.F : nullptr;
    backward_head(grad, p, head, {&log_decay, bonus}, w);
    if (shared.log_decay != nullptr) shared.log_decay[head] = static_cast<float>(log_decay);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::decayed::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu::decayed {
namespace {

HWY_EXPORT(run_heads);

// to[n] = the sum of B rows, in their order.
void sum_rows(int64_t B, int64_t n, const float* rows, float* to) {
  std::copy_n(rows, n, to);
  for (int64_t b = 1; b < B; ++b) {
    for (int64_t i = 0; i < n; ++i) to[i] += rows[b * n + i];
  }
}

}  // namespace

void backward(const GradArgs& grad) noexcept {
  const Args& x = grad.forward;
  if (x.B * x.T * x.H == 0) return;
  const Plan plan = make_plan(x, true);
  Scratch measure(nullptr), base(grad.scratch);
  carve(plan, x, true, measure);
  const Shared shared = carve_shared(grad, base);
  parallel_for(x.B * x.H, 1, [&](int64_t begin, int64_t end) {
    Scratch own = base;
    own.take(thread_index() * measure.used());
    const Work w = carve(plan, x, true, own);
    HWY_DYNAMIC_DISPATCH(run_heads)(grad, plan, begin, end, shared, w);
  });
  if (shared.log_decay != nullptr) sum_rows(x.B, x.H, shared.log_decay, grad.d_log_decay);
  if (shared.bonus != nullptr) sum_rows(x.B, x.H * x.F, shared.bonus, grad.d_bonus);
}

}  // namespace rebased::kernels::cpu::decayed
#endif
