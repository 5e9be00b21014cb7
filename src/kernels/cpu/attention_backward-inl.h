// Gradient of one (batch, head) by tiles: parallel and chunked form; compiled once for each instruction set.
// core.md section 6: dA = u (g.v - g.o), W = dA dA/ds, dq = W k, dk = W^T q, dv = A^T (u g); through a state,
// dphi(q) = S (u g) + dz Z on the way forward and dphi(k) = dS v + dZ, dv = dS^T phi(k) on the way back.
#if defined(REBASED_KERNELS_CPU_ATTENTION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_CPU_ATTENTION_BACKWARD_INL_H_
#undef REBASED_KERNELS_CPU_ATTENTION_BACKWARD_INL_H_
#else
#define REBASED_KERNELS_CPU_ATTENTION_BACKWARD_INL_H_
#endif

#include "kernels/cpu/attention_forward-inl.h"

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

// Narrow: u g over time with dz in row Dv, the outputs over time; by rows only where a state takes them up.
inline void pack_gradient_narrow(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n,
                                 const Workspace& w) {
  const Lanes d;
  const int64_t first = query_at(x, item, t), stride = x.H * x.Dv;
  float* dz = w.g_t + x.Dv * plan.ld;
  pack_columns(n, x.Dv, x.d_o + first * x.Dv, stride, w.g_t, plan.ld);
  if (x.normalize) {
    pack_columns(n, x.Dv, x.o + first * x.Dv, stride, w.o_t, plan.ld);
    pack_columns(n, 1, x.z + first, x.H, w.den, 0);
    for (int64_t i = 0; i < padded(n); i += kLanes) {
      const Vec u = hn::Div(hn::Set(d, 1), hn::Add(hn::LoadU(d, w.den + i), hn::Set(d, x.eps)));
      Vec sum = hn::Zero(d);
      for (int64_t e = 0; e < x.Dv; ++e) {
        const Vec g = hn::Mul(u, hn::LoadU(d, w.g_t + e * plan.ld + i));
        hn::StoreU(g, d, w.g_t + e * plan.ld + i);
        sum = hn::NegMulAdd(g, hn::LoadU(d, w.o_t + e * plan.ld + i), sum);
      }
      hn::StoreU(sum, d, dz + i);
    }
    // Padding tokens have z = 0, so that u may be infinite there: their g and dz are made 0 again.
    for (int64_t e = 0; e <= x.Dv; ++e) clear(padded(n) - n, w.g_t + e * plan.ld + n);
  } else {
    clear(x.Dv * plan.ld, w.o_t);
    clear(padded(n), dz);
  }
  if (!plan.states) return;
  clear((plan.value_ld - x.Dv - 1) * plan.ld, w.g_t + (x.Dv + 1) * plan.ld);
  transpose(plan.value_ld, padded(n), w.g_t, plan.ld, w.g, plan.value_ld);
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
  if (plan.narrow) return pack_gradient_narrow(x, plan, item, t, n, w);
  pack_gradient_rows(x, plan, item, t, n, kept, w);
  transpose(padded(n), (x.Dv + 4) / 4 * 4, w.g, plan.value_ld, w.g_t, plan.ld);
}

// w.state_t = the state turned, zero in the columns behind F.
inline void turn_state(const Problem& x, const Plan& plan, const Workspace& w) {
  if (x.F < plan.key_ld) clear(plan.value_ld * plan.key_ld, w.state_t);
  transpose_any(x.F, (x.Dv + 4) / 4 * 4, w.state, plan.value_ld, w.state_t, plan.key_ld);
}

// to[n, key_ld] = the gradient of packed tokens x_t through a state, of which each token takes row_t[Dv + 1, n].
inline void grad_of_state(const Problem& x, const Plan& plan, int64_t n, const float* x_t, Coefficients coefficients,
                          const float* row_t, float* to, const Workspace& w) {
  product<false, false>(x.F, padded(n), x.Dv + 1, w.state, plan.value_ld, row_t, plan.ld, w.dphi, plan.ld, w.lines);
  features_grad(x, n, x_t, plan.ld, coefficients, w.dphi, w.dx_t);
  clear((plan.key_ld - x.Dk) * plan.ld, w.dx_t + x.Dk * plan.ld);
  transpose(plan.key_ld, padded(n), w.dx_t, plan.ld, to, plan.key_ld);
}

// As grad_of_state for plain features, through a turned state, of which each token takes row[n, Dv + 1].
inline void grad_of_turned_state(const Problem& x, const Plan& plan, int64_t n, const float* rows, const float* state,
                                 float* to, const Workspace& w) {
  product<false, false>(padded(n), plan.key_ld, x.Dv + 1, rows, plan.value_ld, state, plan.key_ld, to, plan.key_ld,
                        w.lines);
}

// dk of the packed keys at `slot` through the state's gradient, which w.state holds.
inline void key_grad_of_state(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  const float* values = w.v + slot * plan.value_ld;
  float* dk = w.dk + slot * plan.key_ld;
  if (plain(x)) {
    turn_state(x, plan, w);
    return grad_of_turned_state(x, plan, n, values, w.state_t, dk, w);
  }
  transpose(padded(n), (x.Dv + 4) / 4 * 4, values, plan.value_ld, w.v_t, plan.ld);
  grad_of_state(x, plan, n, w.k_t, {}, w.v_t, dk, w);
}

// dv likewise.
inline void value_grad_of_state(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const float* phi,
                                const Workspace& w) {
  float* dv = w.dv + slot * plan.value_ld;
  if (plan.narrow) {
    product<true, false>(x.Dv, padded(n), x.F, w.state, plan.value_ld, phi, plan.ld, w.dv + slot, plan.keys, w.lines);
  } else if (plain(x)) {
    product<false, false>(n, plan.value_n, x.F, w.k + slot * plan.key_ld, plan.key_ld, w.state, plan.value_ld, dv,
                          plan.value_ld, w.lines);
  } else {
    product<true, false>(n, plan.value_n, x.F, phi, plan.ld, w.state, plan.value_ld, dv, plan.value_ld, w.lines);
  }
}

inline void pass_state_grad(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  const float* phi = plain(x) && !plan.narrow ? nullptr : key_features(x, plan, n, slot, w);
  key_grad_of_state(x, plan, n, slot, w);
  value_grad_of_state(x, plan, n, slot, phi, w);
}

inline void clear_key_grad(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  clear(padded(n) * plan.key_ld, w.dk + slot * plan.key_ld);
  if (!plan.narrow) clear(padded(n) * plan.value_ld, w.dv + slot * plan.value_ld);
  for (int64_t e = 0; plan.narrow && e < x.Dv; ++e) clear(padded(n), w.dv + e * plan.keys + slot);
}

// dA of a narrow tile from the differences v - o, where g.v and g.o would cancel: slopes[j, i].
template <int kDv>
inline void narrow_weight_grad(const Plan& plan, int64_t n_keys, int64_t first, int64_t columns, const float* values,
                               float* slopes, const Workspace& w) {
  const Lanes d;
  for (int64_t i = first; i < columns; i += kLanes) {
    Vec g[kDv], o[kDv];
    HWY_UNROLL(8)
    for (int e = 0; e < kDv; ++e) {
      g[e] = hn::LoadU(d, w.g_t + e * plan.ld + i);
      o[e] = hn::LoadU(d, w.o_t + e * plan.ld + i);
    }
    for (int64_t j = 0; j < n_keys; ++j) {
      Vec sum = hn::Zero(d);
      HWY_UNROLL(8)
      for (int e = 0; e < kDv; ++e) sum = hn::MulAdd(g[e], hn::Sub(hn::Set(d, values[j * w.values_ld + e]), o[e]), sum);
      hn::StoreU(sum, d, slopes + j * plan.ld + i);
    }
  }
}

inline void narrow_weight_grad(const Problem& x, const Plan& plan, int64_t n_keys, int64_t first, int64_t columns,
                               const float* values, float* slopes, const Workspace& w) {
  using Body = void (*)(const Plan&, int64_t, int64_t, int64_t, const float*, float*, const Workspace&);
  static constexpr Body kBodies[kNarrow] = {narrow_weight_grad<1>, narrow_weight_grad<2>, narrow_weight_grad<3>,
                                            narrow_weight_grad<4>, narrow_weight_grad<5>, narrow_weight_grad<6>,
                                            narrow_weight_grad<7>, narrow_weight_grad<8>};
  kBodies[x.Dv - 1](plan, n_keys, first, columns, values, slopes, w);
}

// dv[e, j] += sum over queries of weights[j, i] g[e, i]; four keys share each load of g.
inline void narrow_value_grad(const Problem& x, const Plan& plan, int64_t n_keys, int64_t first, int64_t columns,
                              const float* weights, float* dv, const Workspace& w) {
  const Lanes d;
  for (int64_t j = 0; j < n_keys; j += 4) {
    const int64_t ld = plan.ld, rows = std::min<int64_t>(4, n_keys - j);
    const float* row[4];
    for (int64_t r = 0; r < 4; ++r) row[r] = weights + (j + std::min(r, rows - 1)) * ld;
    for (int64_t e = 0; e < x.Dv; ++e) {
      Vec sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
      for (int64_t i = first; i < columns; i += kLanes) {
        const Vec g = hn::LoadU(d, w.g_t + e * ld + i);
        sum0 = hn::MulAdd(g, hn::LoadU(d, row[0] + i), sum0);
        sum1 = hn::MulAdd(g, hn::LoadU(d, row[1] + i), sum1);
        sum2 = hn::MulAdd(g, hn::LoadU(d, row[2] + i), sum2);
        sum3 = hn::MulAdd(g, hn::LoadU(d, row[3] + i), sum3);
      }
      float sums[4];
      sums_of_lanes(d, sum0, sum1, sum2, sum3, sums);
      for (int64_t r = 0; r < rows; ++r) dv[e * plan.keys + j + r] += sums[r];
    }
  }
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
  if (plan.narrow) {
    narrow_weight_grad(x, plan, n_keys, first, columns, values, slopes, w);
  } else {
    product<false, false>(n_keys, columns - first, x.Dv + 1, values, plan.value_ld, w.g_t + first, plan.ld,
                          slopes + first, plan.ld);
  }
  slope_scores(x, plan, n_keys, first, columns, row, slot + row, diagonal, w);
}

// dk and dv of the same block from all queries that see it.
inline void add_key_grad(const Problem& x, const Plan& plan, int64_t n_keys, int64_t first, int64_t queries,
                         int64_t row, int64_t slot, const Workspace& w) {
  const float* slopes = w.slopes + row * plan.ld + first;
  product<false, true>(n_keys, plan.key_ld, queries - first, slopes, plan.ld, w.q + first * plan.key_ld, plan.key_ld,
                       w.dk + (slot + row) * plan.key_ld, plan.key_ld);
  const float* weights = w.scores + row * plan.ld;
  if (plan.narrow) {
    narrow_value_grad(x, plan, n_keys, first, padded(queries), weights, w.dv + slot + row, w);
  } else {
    product<false, true>(n_keys, plan.value_n, queries - first, weights + first, plan.ld, w.g + first * plan.value_ld,
                         plan.value_ld, w.dv + (slot + row) * plan.value_ld, plan.value_ld);
  }
}

// dq of queries [first, first + queries) from keys [0, n_keys) of the tile at `slot`.
inline void add_query_grad(const Plan& plan, int64_t first, int64_t queries, int64_t n_keys, int64_t slot,
                           const Workspace& w) {
  product<true, true>(queries, plan.key_ld, n_keys, w.slopes + first, plan.ld, w.k + slot * plan.key_ld, plan.key_ld,
                      w.dq + first * plan.key_ld, plan.key_ld);
}

inline void tile_grad(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot, bool diagonal,
                      const Workspace& w) {
  const int64_t columns = padded(queries);
  if (!diagonal) {
    pair_block(x, plan, n_keys, 0, columns, 0, slot, false, w);
    add_key_grad(x, plan, n_keys, 0, queries, 0, slot, w);
    add_query_grad(plan, 0, queries, n_keys, slot, w);
    return;
  }
  for (int64_t j = 0; j < n_keys; j += kPad) {
    const int64_t rows = std::min(kPad, n_keys - j), first = first_to_see(w, queries, slot + j);
    pair_block(x, plan, rows, first, columns, j, slot, true, w);
    add_key_grad(x, plan, rows, first, queries, j, slot, w);
  }
  for (int64_t i = 0; i < queries; i += kPad) {
    const int64_t n = std::min(kPad, queries - i);
    add_query_grad(plan, i, n, keys_seen(w, i + n - 1, slot, n_keys), slot, w);
  }
}

inline void store_key_grad(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, int64_t slot,
                           const Workspace& w) {
  const int64_t first = token_at(x, item, t);
  unpack_rows(n, x.Dk, w.dk + slot * plan.key_ld, plan.key_ld, 1, x.dk + first * x.Dk, x.H * x.Dk);
  float* dv = x.dv + first * x.Dv;
  if (plan.narrow) return unpack_columns(n, x.Dv, w.dv + slot, plan.keys, dv, x.H * x.Dv);
  unpack_rows(n, x.Dv, w.dv + slot * plan.value_ld, plan.value_ld, 1, dv, x.H * x.Dv);
}

// Whether queries read a state anywhere in the item.
inline bool reads_state(const Problem& x, const Plan& plan, const Item& item) {
  return x.s0 != nullptr || (plan.form == Form::kChunked && (item.begin > 0 || item.end - item.begin > plan.tile));
}

// What state_pass does to one packed chunk with plain features and w.state turned.
inline void plain_state_pass(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, bool last,
                             const Workspace& w) {
  if (plan.narrow) {
    pack_gradient_narrow(x, plan, item, t, n, w);
  } else {
    pack_gradient_rows(x, plan, item, t, n, false, w);
  }
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
  pack_queries(x, plan, item, t, n, w);
  pack_gradient(x, plan, item, t, n, continued, w);
  if (continued) {
    const float* dq = x.dq + query_at(x, item, t) * x.Dk;
    pack_rows(n, x.Dk, dq, x.H * x.Dk, 1, 0, w.dq, plan.key_ld, {dq, x.H * x.Dk});
  } else {
    clear(padded(n) * plan.key_ld, w.dq);
  }
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
  pack_keys(x, plan, item, t, n, 0, w);
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

inline void backward_tiles(const Problem& x, const Plan& plan, const Item& item, const Workspace& w) {
  for (int64_t t = 0; t < x.T; t += plan.tile) {
    const int64_t n = std::min(plan.tile, x.T - t);
    pack_keys(x, plan, item, t, n, t, w);
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
    pack_queries(x, plan, item, t, n, w);
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
