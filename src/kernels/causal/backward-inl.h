// Gradient of one (batch, head) by tiles: parallel and chunked form; compiled once for each instruction set.
// With u = 1 / (z + eps), by the quotient rule: dA = u (g.v - g.o), W = dA dA/ds, dq = W k, dk = W^T q, dv = A^T (u g);
// through a state,
// dphi(q) = S (u g) + dz Z on the way forward and dphi(k) = dS v + dZ, dv = dS^T phi(k) on the way back.
#if defined(REBASED_KERNELS_ATTENTION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_ATTENTION_BACKWARD_INL_H_
#undef REBASED_KERNELS_ATTENTION_BACKWARD_INL_H_
#else
#define REBASED_KERNELS_ATTENTION_BACKWARD_INL_H_
#endif

#include "kernels/causal/forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

// sums[i] = x[i, 0..n) . y[i, 0..n) for up to four rows.
inline void dot_rows(int64_t rows, int64_t n, const float* x, const float* y, int64_t stride, float* sums) {
  const Lanes d;
  const int64_t whole = n / kLanes * kLanes;
  const auto row = [&](int64_t r) {
    const int64_t at = std::min(r, rows - 1) * stride;
    Vec sum = hn::Zero(d);
    for (int64_t i = 0; i < whole; i += kLanes) {
      sum = hn::MulAdd(hn::LoadU(d, x + at + i), hn::LoadU(d, y + at + i), sum);
    }
    return sum;
  };
  float all[4];
  sums_of_lanes(d, row(0), row(1), row(2), row(3), all);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = whole; i < n; ++i) all[r] += x[r * stride + i] * y[r * stride + i];
    sums[r] = all[r];
  }
}

// Narrow: u g and the outputs by rows; columns from Dv on are not read.
inline void pack_gradient_narrow(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n,
                                 const Workspace& w) {
  const int64_t first = query_at(x, item, t);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t token = first + i * x.H;
    const float u = x.normalize ? 1 / (x.z[token] + x.eps) : 1;
    for (int64_t e = 0; e < x.Dv; ++e) {
      w.g[i * plan.value_ld + e] = u * x.d_o[token * x.Dv + e];
      w.o[i * plan.value_ld + e] = x.normalize ? x.o[token * x.Dv + e] : 0;
    }
  }
  clear((padded(n) - n) * plan.value_ld, w.g + n * plan.value_ld);
  clear((padded(n) - n) * plan.value_ld, w.o + n * plan.value_ld);
}

// dz = -u d_o . o of up to four tokens from `token` on, with u in `u`.
inline void normaliser_grad(const Problem& x, int64_t n, int64_t token, const float* u, float* dz) {
  dot_rows(n, x.Dv, x.d_o + token * x.Dv, x.o + token * x.Dv, x.H * x.Dv, dz);
  for (int64_t i = 0; i < n; ++i) dz[i] *= -u[i];
}

// u g by rows with dz in column Dv. dz is kept in w.dz, or is there already.
inline void pack_gradient_rows(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, bool kept,
                               const Workspace& w) {
  const Ahead g_ahead = ahead_of(x, plan, item, x.N, t, n, {x.d_o, x.Dv}),
              o_ahead = ahead_of(x, plan, item, x.N, t, n, {x.o, x.Dv});
  const bool reads_o = x.normalize && !kept;
  for (int64_t i = 0; i < n; i += 4) {
    const int64_t rows = std::min<int64_t>(4, n - i), token = query_at(x, item, t + i);
    fetch_rows(rows, x.Dv, {g_ahead.from + i * g_ahead.stride, g_ahead.stride});
    if (reads_o) fetch_rows(rows, x.Dv, {o_ahead.from + i * o_ahead.stride, o_ahead.stride});
    float u[4] = {1, 1, 1, 1}, *dz = w.dz + t + i;
    for (int64_t r = 0; x.normalize && r < rows; ++r) u[r] = 1 / (x.z[token + r * x.H] + x.eps);
    if (reads_o) normaliser_grad(x, rows, token, u, dz);
    for (int64_t r = 0; r < rows; ++r) {
      pack_row(x.Dv, x.d_o + (token + r * x.H) * x.Dv, u[r], x.normalize ? dz[r] : 0, w.g + (i + r) * plan.value_ld,
               plan.value_ld);
    }
  }
  clear((padded(n) - n) * plan.value_ld, w.g + n * plan.value_ld);
}

// The same and its transpose.
inline void pack_gradient(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, bool kept,
                          const Workspace& w) {
  if (plan.narrow) pack_gradient_narrow(x, plan, item, t, n, w);
  if (plan.narrow && !plan.states) return;
  pack_gradient_rows(x, plan, item, t, n, kept, w);
  transpose(padded(n), (x.Dv + 4) / 4 * 4, w.g, plan.value_ld, w.g_t, plan.ld);
}

// w.state_t = the state turned, zero in the columns behind F.
inline void turn_state(const Problem& x, const Plan& plan, const Workspace& w) {
  if (x.F < plan.key_ld) clear(plan.value_ld * plan.key_ld, w.state_t);
  transpose_any(x.F, (x.Dv + 4) / 4 * 4, w.state, plan.value_ld, w.state_t, plan.key_ld);
}

// w.dx_t = the gradient of n packed tokens x_t through a state, of which each token takes row_t[Dv + 1, n].
inline void turned_grad_of_state(const Problem& x, const Plan& plan, int64_t n, const float* x_t,
                                 Coefficients coefficients, const float* row_t, const Workspace& w) {
  product<false, false>(x.F, padded(n), x.Dv + 1, w.state, plan.value_ld, row_t, plan.ld, w.dphi, plan.ld, w.lines);
  features_grad(x, n, x_t, plan.ld, coefficients, w.dphi, w.dx_t);
}

// to[n, key_ld] = the same by rows.
inline void grad_of_state(const Problem& x, const Plan& plan, int64_t n, const float* x_t, Coefficients coefficients,
                          const float* row_t, float* to, const Workspace& w) {
  turned_grad_of_state(x, plan, n, x_t, coefficients, row_t, w);
  clear((plan.key_ld - x.Dk) * plan.ld, w.dx_t + x.Dk * plan.ld);
  transpose(plan.key_ld, padded(n), w.dx_t, plan.ld, to, plan.key_ld);
}

// As grad_of_state for plain features, through a turned state, of which each token takes row[n, Dv + 1].
inline void grad_of_turned_state(const Problem& x, const Plan& plan, int64_t n, const float* rows, const float* state,
                                 float* to, const Workspace& w) {
  product<false, false>(padded(n), plan.key_ld, x.Dv + 1, rows, plan.value_ld, state, plan.key_ld, to, plan.key_ld,
                        w.lines);
}

// dk, dv of the packed keys at `slot` through the state's gradient, which w.state holds; here over time.
inline void pass_state_grad_narrow(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  const float* phi = key_features(x, plan, n, slot, w);
  transpose(padded(n), (x.Dv + 4) / 4 * 4, w.v + slot * plan.value_ld, plan.value_ld, w.v_t, plan.ld);
  if (plain(x)) {
    product<false, false>(x.F, padded(n), x.Dv + 1, w.state, plan.value_ld, w.v_t, plan.ld, w.dk + slot, plan.keys,
                          w.lines);
  } else {
    turned_grad_of_state(x, plan, n, w.k_t, {}, w.v_t, w);
    unpack_rows(x.Dk, padded(n), w.dx_t, plan.ld, 1, w.dk + slot, plan.keys);
  }
  product<true, false>(x.Dv, padded(n), x.F, w.state, plan.value_ld, phi, plan.ld, w.dv + slot, plan.keys, w.lines);
}

// The same by rows.
inline void pass_state_grad(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  if (plan.narrow) return pass_state_grad_narrow(x, plan, n, slot, w);
  const float *keys = w.k + slot * plan.key_ld, *values = w.v + slot * plan.value_ld;
  float *dk = w.dk + slot * plan.key_ld, *dv = w.dv + slot * plan.value_ld;
  if (plain(x)) {
    turn_state(x, plan, w);
    grad_of_turned_state(x, plan, n, values, w.state_t, dk, w);
    product<false, false>(n, plan.value_n, x.F, keys, plan.key_ld, w.state, plan.value_ld, dv, plan.value_ld, w.lines);
    return;
  }
  const float* phi = key_features(x, plan, n, slot, w);
  transpose(padded(n), (x.Dv + 4) / 4 * 4, values, plan.value_ld, w.v_t, plan.ld);
  grad_of_state(x, plan, n, w.k_t, {}, w.v_t, dk, w);
  product<true, false>(n, plan.value_n, x.F, phi, plan.ld, w.state, plan.value_ld, dv, plan.value_ld, w.lines);
}

inline void clear_key_grad(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  if (plan.narrow) {
    for (int64_t i = 0; i < x.Dk; ++i) clear(padded(n), w.dk + i * plan.keys + slot);
    for (int64_t e = 0; e < x.Dv; ++e) clear(padded(n), w.dv + e * plan.keys + slot);
    return;
  }
  clear(padded(n) * plan.key_ld, w.dk + slot * plan.key_ld);
  clear(padded(n) * plan.value_ld, w.dv + slot * plan.value_ld);
}

// Scores and dA of a row block, keys from slot `key` on, to weights and slopes W; both 0 where a query precedes its
// key.
inline void slope_scores(const Problem& x, const Plan& plan, int64_t n_keys, int64_t first, int64_t columns,
                         int64_t row, int64_t key, bool diagonal, const Workspace& w) {
  const Lanes d;
  const Vec a = hn::Set(d, x.a), b = hn::Set(d, x.b), c = hn::Set(d, x.c);
  for (int64_t i = first; i < columns; i += kLanes) {
    float* score = w.scores + row * plan.ld + i;
    float* slope = w.slopes + row * plan.ld + i;
    const Vec token = hn::LoadU(d, w.tokens + i);
    const bool masked = diagonal && hn::GetLane(token) < static_cast<float>(key + n_keys - 1);
    for (int64_t j = 0; j < n_keys; ++j, score += plan.ld, slope += plan.ld) {
      const Vec s = hn::LoadU(d, score), cs = hn::Mul(c, s);
      Vec weight = hn::MulAdd(hn::Add(cs, b), s, a);
      Vec grad = hn::Mul(hn::Add(hn::Add(cs, cs), b), hn::LoadU(d, slope));
      if (masked) {
        const auto seen = hn::Ge(token, hn::Set(d, static_cast<float>(key + j)));
        weight = hn::IfThenElseZero(seen, weight);
        grad = hn::IfThenElseZero(seen, grad);
      }
      hn::StoreU(weight, d, score);
      hn::StoreU(grad, d, slope);
    }
  }
}

// Weights and slopes of keys [row, row + n_keys) of the tile at `slot` against queries [first, columns).
inline void pair_block(const Problem& x, const Plan& plan, int64_t n_keys, int64_t first, int64_t columns, int64_t row,
                       int64_t slot, bool diagonal, const Workspace& w) {
  const float* values = w.values + (slot + row) * w.values_ld;
  float* slopes = w.slopes + row * plan.ld;
  scores_of_keys(x, plan, n_keys, first, columns, w.k + (slot + row) * plan.key_ld, w, row);
  product<false, false>(n_keys, columns - first, x.Dv + 1, values, plan.value_ld, w.g_t + first, plan.ld,
                        slopes + first, plan.ld);
  slope_scores(x, plan, n_keys, first, columns, row, slot + row, diagonal, w);
}

// dk and dv of the same block from all queries that see it.
inline void add_key_grad(const Plan& plan, int64_t n_keys, int64_t first, int64_t queries, int64_t row, int64_t slot,
                         const Workspace& w) {
  const float* slopes = w.slopes + row * plan.ld + first;
  product<false, true>(n_keys, plan.key_ld, queries - first, slopes, plan.ld, w.q + first * plan.key_ld, plan.key_ld,
                       w.dk + (slot + row) * plan.key_ld, plan.key_ld);
  const float* weights = w.scores + row * plan.ld;
  product<false, true>(n_keys, plan.value_n, queries - first, weights + first, plan.ld, w.g + first * plan.value_ld,
                       plan.value_ld, w.dv + (slot + row) * plan.value_ld, plan.value_ld);
}

// dq of queries [first, first + queries) from keys [0, n_keys) of the tile at `slot`.
inline void add_query_grad(const Plan& plan, int64_t first, int64_t queries, int64_t n_keys, int64_t slot,
                           const Workspace& w) {
  product<true, true>(queries, plan.key_ld, n_keys, w.slopes + first, plan.ld, w.k + slot * plan.key_ld, plan.key_ld,
                      w.dq + first * plan.key_ld, plan.key_ld);
}

inline void tile_grad(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot, bool diagonal,
                      const Workspace& w) {
  if (plan.narrow) return narrow_grad(x, plan, queries, n_keys, slot, diagonal, w);
  const int64_t columns = padded(queries);
  if (!diagonal) {
    pair_block(x, plan, n_keys, 0, columns, 0, slot, false, w);
    add_key_grad(plan, n_keys, 0, queries, 0, slot, w);
    add_query_grad(plan, 0, queries, n_keys, slot, w);
    return;
  }
  for (int64_t j = 0; j < n_keys; j += kPad) {
    const int64_t rows = std::min(kPad, n_keys - j), first = first_to_see(w, queries, slot + j, kPad);
    pair_block(x, plan, rows, first, columns, j, slot, true, w);
    add_key_grad(plan, rows, first, queries, j, slot, w);
  }
  for (int64_t i = 0; i < queries; i += kPad) {
    const int64_t n = std::min(kPad, queries - i);
    add_query_grad(plan, i, n, keys_seen(w, i + n - 1, slot, n_keys), slot, w);
  }
}

inline void store_key_grad(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, int64_t slot,
                           const Workspace& w) {
  const int64_t first = token_at(x, item, t);
  float *dk = x.dk + first * x.Dk, *dv = x.dv + first * x.Dv;
  if (plan.narrow) {
    transpose_any(x.Dk, n, w.dk + slot, plan.keys, dk, x.H * x.Dk);
    return unpack_columns(n, x.Dv, w.dv + slot, plan.keys, dv, x.H * x.Dv);
  }
  unpack_rows(n, x.Dk, w.dk + slot * plan.key_ld, plan.key_ld, 1, dk, x.H * x.Dk);
  unpack_rows(n, x.Dv, w.dv + slot * plan.value_ld, plan.value_ld, 1, dv, x.H * x.Dv);
}

// Whether queries read a state anywhere in the item.
inline bool reads_state(const Problem& x, const Plan& plan, const Item& item) {
  return x.s0 != nullptr || (plan.form == Form::kChunked && (item.begin > 0 || item.end - item.begin > plan.tile));
}

// What state_pass does to one packed chunk with plain features and w.state turned.
inline void plain_state_pass(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, bool last,
                             const Workspace& w) {
  pack_gradient_rows(x, plan, item, t, n, false, w);
  grad_of_turned_state(x, plan, n, w.g, w.state, w.dq, w);
  if (last) return;
  pack_keys(x, plan, item, t, n, 0, w);
  product<true, true>(x.Dv + 1, plan.key_ld, n, w.v, plan.value_ld, w.k, plan.key_ld, w.state, plan.key_ld, w.lines);
}

// The chunk at t with the state before it in w.state, which it advances: the state's part of dq, stored unscaled in its
// place in x.dq.
inline void state_pass(const Problem& x, const Plan& plan, const Item& item, int64_t t, const Workspace& w) {
  const int64_t n = std::min(plan.tile, item.end - t);
  const int64_t token = item.batch * x.T + t;
  const bool last = plan.form == Form::kParallel || t + n == item.end;
  if (t + n == item.end) {
    stream_chunk(x, plan, item, token, {{x.dk, x.Dk}, {x.dv, x.Dv}}, w.lines);
  } else {
    stream_chunk(x, plan, item, token + n,
                 {{x.q, plain(x) ? 0 : x.Dk}, {x.k, x.Dk}, {x.v, x.Dv}, {x.d_o, x.Dv}, {x.o, x.Dv}, {x.dq, x.Dk}},
                 w.lines);
  }
  fetch_outputs(x, plan, item, t, n, x.dq, x.Dk);
  if (plain(x)) {
    plain_state_pass(x, plan, item, t, n, last, w);
  } else {
    turn_queries(x, plan, item, t, n, w);
    pack_gradient(x, plan, item, t, n, false, w);
    grad_of_state(x, plan, n, w.q_t, query_coefficients(x), w.g_t, w.dq, w);
    if (!last) {
      pack_keys(x, plan, item, t, n, 0, w);
      add_keys_to_state(x, plan, n, 0, w);
    }
  }
  unpack_rows(n, x.Dk, w.dq, plan.key_ld, 1, x.dq + query_at(x, item, t) * x.Dk, x.H * x.Dk);
}

inline void add_queries_to_state_grad(const Problem& x, const Plan& plan, int64_t n, const Workspace& w) {
  if (plain(x)) return add_plain_to_state(x, plan, n, w.q, w.g, w);
  add_to_state(x, plan, n, query_features(x, plan, n, w), w.g, w.g_t + x.Dv * plan.ld, w);
}

// Queries of one tile: packed, with the state's part of their gradient where state_pass left one.
inline void begin_queries(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, bool continued,
                          const Workspace& w) {
  pack_query_rows(x, plan, item, t, n, w);
  if (!plan.narrow || plan.states) turn_query_rows(plan, n, w);
  pack_gradient(x, plan, item, t, n, continued, w);
  if (continued) {
    const float* dq = x.dq + query_at(x, item, t) * x.Dk;
    pack_rows(n, x.Dk, dq, x.H * x.Dk, 1, 0, w.dq, plan.key_ld, {dq, x.H * x.Dk});
  } else {
    clear(padded(n) * plan.key_ld, w.dq);
  }
}

// Keys of one tile: packed, where narrow also over time with their values.
inline void begin_keys(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, int64_t slot,
                       const Workspace& w) {
  pack_keys(x, plan, item, t, n, slot, w);
  if (!plan.narrow) return;
  transpose(padded(n), plan.key_ld, w.k + slot * plan.key_ld, plan.key_ld, w.keys_t + slot, plan.keys);
  pack_columns(n, x.Dv, x.v + token_at(x, item, t) * x.Dv, x.H * x.Dv, w.values_t + slot, plan.keys);
}

inline void finish_query_grad(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n,
                              const Workspace& w) {
  unpack_rows(n, x.Dk, w.dq, plan.key_ld, x.scale, x.dq + query_at(x, item, t) * x.Dk, x.H * x.Dk);
}

// The chunk at t; w.state holds the gradient of the state after it and is left with that of the state before it.
inline void backward_chunk(const Problem& x, const Plan& plan, const Item& item, int64_t t, bool continued,
                           const Workspace& w) {
  const bool wanted = x.d_s0 != nullptr || x.d_z0 != nullptr;
  const int64_t n = std::min(plan.tile, item.end - t);
  const bool last = t + n == x.T && x.d_sT == nullptr && x.d_zT == nullptr;
  const bool o_again = plan.narrow || !continued || t == item.begin;  // the next chunk's outputs
  stream_chunk(x, plan, item, item.batch * x.T + (t == item.begin ? x.T : t - plan.tile),
               {{x.q, x.Dk},
                {x.k, x.Dk},
                {x.v, x.Dv},
                {x.d_o, x.Dv},
                {x.o, o_again ? x.Dv : 0},
                {x.dq, x.Dk},
                {x.dk, x.Dk},
                {x.dv, x.Dv}},
               w.lines);
  begin_queries(x, plan, item, t, n, continued, w);
  begin_keys(x, plan, item, t, n, 0, w);
  fetch_outputs(x, plan, item, t, n, x.dk, x.Dk);
  fetch_outputs(x, plan, item, t, n, x.dv, x.Dv);
  if (last) {
    clear_key_grad(x, plan, n, 0, w);
  } else {
    pass_state_grad(x, plan, n, 0, w);
  }
  tile_grad(x, plan, n, n, 0, true, w);
  finish_query_grad(x, plan, item, t, n, w);
  store_key_grad(x, plan, item, t, n, 0, w);
  if (t > item.begin || wanted) add_queries_to_state_grad(x, plan, n, w);
}

// Streams the head's share of the next batch row, in order of address.
inline void stream_row(const Problem& x, const Plan& plan, const Item& item, LineStream* lines) {
  lines->clear();
  if (!plan.streamed || item.batch + 1 == x.B) return;
  const int64_t share = (item.batch + 1) * x.H + item.head;
  const Rows of_queries[] = {{x.q, x.Dk}, {x.d_o, x.Dv}, {x.o, x.Dv}, {x.dq, x.Dk}};
  const Rows of_keys[] = {{x.k, x.Dk}, {x.v, x.Dv}, {x.dk, x.Dk}, {x.dv, x.Dv}};
  for (const auto& [base, D] : of_queries) lines->add(base + share * x.N * D, 1, x.N * D, x.N * D);
  for (const auto& [base, D] : of_keys) lines->add(base + share * x.T * D, 1, x.T * D, x.T * D);
}

inline void backward_tiles(const Problem& x, const Plan& plan, const Item& item, const Workspace& w) {
  stream_row(x, plan, item, w.lines);
  for (int64_t t = 0; t < x.T; t += plan.tile) {
    const int64_t n = std::min(plan.tile, x.T - t);
    begin_keys(x, plan, item, t, n, t, w);
    if (x.d_sT == nullptr && x.d_zT == nullptr) {
      clear_key_grad(x, plan, n, t, w);
    } else {
      pass_state_grad(x, plan, n, t, w);
    }
  }
  for (int64_t i = 0; i < x.N; i += plan.tile) {
    const int64_t n = std::min(plan.tile, x.N - i);
    number_queries(x, item, i, n, w);
    begin_queries(x, plan, item, i, n, x.s0 != nullptr, w);
    for_key_tiles(plan, n, w, [&](int64_t s, int64_t keys, bool diagonal) HWY_ATTR {
      tile_grad(x, plan, n, keys, s, diagonal, w);
    });
    finish_query_grad(x, plan, item, i, n, w);
    if (x.d_s0 != nullptr || x.d_z0 != nullptr) add_queries_to_state_grad(x, plan, n, w);
  }
  for (int64_t t = 0; t < x.T; t += plan.tile) store_key_grad(x, plan, item, t, std::min(plan.tile, x.T - t), t, w);
}

// dstate += what the queries of one item add; for segments of time that threads share.
inline void sum_queries(const Problem& x, const Plan& plan, const Item& item, const Workspace& w) {
  for (int64_t t = item.begin; t < item.end; t += plan.tile) {
    const int64_t n = std::min(plan.tile, item.end - t);
    pack_query_rows(x, plan, item, t, n, w);
    turn_query_rows(plan, n, w);
    pack_gradient(x, plan, item, t, n, false, w);
    add_queries_to_state_grad(x, plan, n, w);
  }
}

// The chunks of an item from last to first, its heads side by side.
inline void backward_chunks(const Problem& x, const Plan& plan, const Item& item, bool continued, const Workspace& w) {
  const int64_t last = item.begin + (item.end - item.begin - 1) / plan.tile * plan.tile;
  for (int64_t t = last; t >= item.begin; t -= plan.tile) {
    for_each_head(x, plan, item, w,
                  [&](const Item& head, const Workspace& own) { backward_chunk(x, plan, head, t, continued, own); });
  }
}

inline void turn_states(const Problem& x, const Plan& plan, const Item& item, const Workspace& w) {
  for_each_head(x, plan, item, w, [&](const Item& /*head*/, const Workspace& own) {
    turn_state(x, plan, own);
    std::copy_n(own.state_t, (x.Dv + 1) * plan.key_ld, own.state);
  });
}

// Gradient of one item. With several segments w.state already holds the state before the item and `state_grad` the
// gradient of the state after it; else both are loaded from the arguments into w.state, one after the other.
inline void backward_item(const Problem& x, const Plan& plan, const Item& item, float* state_grad,
                          const Workspace& workspace) {
  Workspace w = workspace;
  const bool continued = reads_state(x, plan, item);
  if (continued && plan.segments == 1) load_states(x, plan, item, x.s0, x.z0, w);
  if (continued && plain(x)) turn_states(x, plan, item, w);
  for (int64_t t = item.begin; continued && t < item.end; t += plan.tile) {
    for_each_head(x, plan, item, w, [&](const Item& head, const Workspace& own) { state_pass(x, plan, head, t, own); });
  }
  if (plan.segments > 1) {
    w.state = state_grad;
  } else if (plan.states) {
    load_states(x, plan, item, x.d_sT, x.d_zT, w);
  }
  if (plan.form == Form::kParallel) {
    for_each_head(x, plan, item, w,
                  [&](const Item& head, const Workspace& own) { backward_tiles(x, plan, head, own); });
  } else {
    number_chunk(plan, w);
    backward_chunks(x, plan, item, continued, w);
  }
  if (item.begin == 0 && (x.d_s0 != nullptr || x.d_z0 != nullptr)) store_states(x, plan, item, w, x.d_s0, x.d_z0);
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
