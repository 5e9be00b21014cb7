// Forward pass of one (batch, head) by tiles: parallel and chunked form; compiled once for each instruction set.
#if defined(REBASED_KERNELS_ATTENTION_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_ATTENTION_FORWARD_INL_H_
#undef REBASED_KERNELS_ATTENTION_FORWARD_INL_H_
#else
#define REBASED_KERNELS_ATTENTION_FORWARD_INL_H_
#endif

#include <algorithm>
#include <initializer_list>

#include "kernels/causal/features-inl.h"
#include "kernels/causal/narrow-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

inline int64_t token_at(const Problem& x, const Item& item, int64_t t) {
  return (item.batch * x.T + t) * x.H + item.head;
}
inline int64_t query_at(const Problem& x, const Item& item, int64_t i) {
  return (item.batch * x.N + i) * x.H + item.head;
}
inline int64_t state_at(const Problem& x, const Item& item) { return (item.batch * x.H + item.head) * x.F; }

struct Rows {
  const float* base;  // [B, T, H, D], or N in place of T
  int64_t D;
};

// What packing rows [t, t + n) of `length` a batch row fetches: these where a stream runs ahead, else the next head of
// the group, eight rows on, or for short sequences the next batch row, of which every head takes its share in order of
// address.
inline Ahead ahead_of(const Problem& x, const Plan& plan, const Item& item, int64_t length, int64_t t, int64_t n,
                      const Rows& rows) {
  const auto& [base, D] = rows;
  const Ahead here{base + ((item.batch * length + t) * x.H + item.head) * D, x.H * D};
  if (plan.streamed) return here;
  if (item.heads > 1) return {here.from + D, here.stride};
  if (length > 2 * kTile) return {here.from + (t + n + 8 <= length ? 8 * x.H * D : 0), here.stride};
  if (item.batch + 1 == x.B) return here;
  return {base + ((item.batch + 1) * x.H * length + item.head * length + t) * D, D};
}

// Streams the head's share of the group's rows in the chunk at `token`, which counts over the batch. Only products with
// a state take lines: those of pairs have few steps each, and asking costs them more than it gains.
inline void stream_chunk(const Problem& x, const Plan& plan, const Item& item, int64_t token,
                         std::initializer_list<Rows> arrays, LineStream* lines) {
  lines->clear();
  const int64_t n = std::min(plan.tile, x.B * x.T - token), turn = plan.group - item.heads;
  if (!plan.streamed || n <= 0) return;
  const int64_t begin = n * turn / plan.group, end = n * (turn + 1) / plan.group;
  const int64_t first = (token + begin) * x.H + item.head - turn;
  for (const auto& [base, D] : arrays) {
    if (D > 0) lines->add(base + first * D, end - begin, plan.group * D, x.H * D);
  }
}

// Where a packed state keeps its normaliser: element f at first + f * step.
struct Normaliser {
  int64_t first, step;
};
inline Normaliser normaliser_of(const Problem& x, const Plan& plan) {
  return plan.apart ? Normaliser{x.F * plan.value_ld, 1} : Normaliser{x.Dv, plan.value_ld};
}

// s [F, Dv] and z [F] (each may be null: zeros) -> packed state.
inline void load_state(const Problem& x, const Plan& plan, const float* s, const float* z, float* state) {
  clear(plan.state_floats, state);
  const auto [first, step] = normaliser_of(x, plan);
  for (int64_t f = 0; f < x.F; ++f) {
    if (s != nullptr) std::copy_n(s + f * x.Dv, x.Dv, state + f * plan.value_ld);
    if (z != nullptr) state[first + f * step] = z[f];
  }
}

inline void store_state(const Problem& x, const Plan& plan, const float* state, float* s, float* z) {
  const auto [first, step] = normaliser_of(x, plan);
  for (int64_t f = 0; f < x.F; ++f) {
    if (s != nullptr) std::copy_n(state + f * plan.value_ld, x.Dv, s + f * x.Dv);
    if (z != nullptr) z[f] = state[first + f * step];
  }
}

inline void pack_query_rows(const Problem& x, const Plan& plan, const Item& item, int64_t i, int64_t n,
                            const Workspace& w) {
  pack_rows(n, x.Dk, x.q + query_at(x, item, i) * x.Dk, x.H * x.Dk, x.scale, 0, w.q, plan.key_ld,
            ahead_of(x, plan, item, x.N, i, n, {x.q, x.Dk}));
}

inline void turn_query_rows(const Plan& plan, int64_t n, const Workspace& w) {
  transpose(padded(n), plan.key_ld, w.q, plan.key_ld, w.q_t, plan.ld);
}

// w.tokens of queries [i, i + n), and where keys are packed a chunk at a time.
inline void number_queries(const Problem& x, const Item& item, int64_t i, int64_t n, const Workspace& w) {
  const int64_t* tokens = x.queries == nullptr ? nullptr : x.queries + item.batch * x.N;
  for (int64_t j = 0; j < padded(n); ++j) {
    const int64_t at = i + std::min(j, n - 1);
    w.tokens[j] = static_cast<float>(tokens == nullptr ? at : tokens[at]);
  }
}

inline void number_chunk(const Plan& plan, const Workspace& w) {
  for (int64_t j = 0; j < plan.ld; ++j) w.tokens[j] = static_cast<float>(j);
}

// Only w.q_t: without the rows between, where they come in fours.
inline void turn_queries(const Problem& x, const Plan& plan, const Item& item, int64_t i, int64_t n,
                         const Workspace& w) {
  if (n % kPad != 0 || x.Dk % 4 != 0) {
    pack_query_rows(x, plan, item, i, n, w);
    return turn_query_rows(plan, n, w);
  }
  fetch_rows(n, x.Dk, ahead_of(x, plan, item, x.N, i, n, {x.q, x.Dk}));
  transpose(n, x.Dk, x.q + query_at(x, item, i) * x.Dk, x.H * x.Dk, w.q_t, plan.ld, x.scale);
}

// Narrow values that no state takes up are read where they lie.
inline void place_values(const Problem& x, const Plan& plan, const Item& item, Workspace& w) {
  const bool packed = plan.states || !plan.narrow;
  w.values = packed ? w.v : x.v + token_at(x, item, item.begin) * x.Dv;
  w.values_ld = packed ? plan.value_ld : x.H * x.Dv;
}

// Keys and values of tokens [t, t + n) to row `slot` of the packed ones.
inline void pack_keys(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, int64_t slot,
                      const Workspace& w) {
  pack_rows(n, x.Dk, x.k + token_at(x, item, t) * x.Dk, x.H * x.Dk, 1, 0, w.k + slot * plan.key_ld, plan.key_ld,
            ahead_of(x, plan, item, x.T, t, n, {x.k, x.Dk}));
  const float* from = x.v + token_at(x, item, t) * x.Dv;
  if (w.values != w.v) return;
  pack_rows(n, x.Dv, from, x.H * x.Dv, 1, 1, w.v + slot * plan.value_ld, plan.value_ld,
            ahead_of(x, plan, item, x.T, t, n, {x.v, x.Dv}));
}

inline void fetch_outputs(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, const float* base,
                          int64_t D) {
  if (!plan.streamed) fetch_rows(n, D, {base + token_at(x, item, t) * D, x.H * D});
}

// phi[F, ld] of the n keys at `slot`.
inline const float* key_features(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  transpose(padded(n), plan.key_ld, w.k + slot * plan.key_ld, plan.key_ld, w.k_t, plan.ld);
  return features(x, n, w.k_t, plan.ld, {}, w.phi);
}

inline const float* query_features(const Problem& x, const Plan& plan, int64_t n, const Workspace& w) {
  return features(x, n, w.q_t, plan.ld, query_coefficients(x), w.phi);
}

// state[F] += phi[F, n] rows[n]; `last` is column Dv of the rows as a vector over time, null when it is all ones.
inline void add_to_state(const Problem& x, const Plan& plan, int64_t n, const float* phi, const float* rows,
                         const float* last, const Workspace& w) {
  product<false, true>(x.F, plan.value_n, n, phi, plan.ld, rows, plan.value_ld, w.state, plan.value_ld, w.lines);
  if (plan.value_n > x.Dv) return;
  const auto [first, step] = normaliser_of(x, plan);
  add_row_sums(x.F, padded(n), phi, plan.ld, last, w.state + first, step);
}

// As add_to_state with features by rows, phi[n, key_ld].
inline void add_plain_to_state(const Problem& x, const Plan& plan, int64_t n, const float* phi, const float* rows,
                               const Workspace& w) {
  product<true, true>(x.F, plan.value_n, n, phi, plan.key_ld, rows, plan.value_ld, w.state, plan.value_ld, w.lines);
  if (plan.value_n > x.Dv) return;
  if (plan.apart) {
    constexpr float kOne = 1;
    return add_weighted_rows(n, plan.key_ld, phi, plan.key_ld, &kOne, 0, w.state + x.F * plan.value_ld);
  }
  float* sums = w.phi;
  clear(plan.key_ld, sums);
  add_weighted_rows(n, plan.key_ld, phi, plan.key_ld, rows + x.Dv, plan.value_ld, sums);
  for (int64_t f = 0; f < x.F; ++f) w.state[f * plan.value_ld + x.Dv] += sums[f];
}

inline void add_keys_to_state(const Problem& x, const Plan& plan, int64_t n, int64_t slot, const Workspace& w) {
  const float* values = w.v + slot * plan.value_ld;
  if (plain(x)) return add_plain_to_state(x, plan, n, w.k + slot * plan.key_ld, values, w);
  add_to_state(x, plan, n, key_features(x, plan, n, slot, w), values, nullptr, w);
}

// scores[j, i] for keys [0, n_keys) x queries [first, columns); column sums to den.
inline void scores_of_keys(const Problem& x, const Plan& plan, int64_t n_keys, int64_t first, int64_t columns,
                           const float* keys, const Workspace& w, int64_t row) {
  product<false, false>(n_keys, columns - first, x.Dk, keys, plan.key_ld, w.q_t + first, plan.ld,
                        w.scores + row * plan.ld + first, plan.ld);
}

// Scores of the keys from slot `key` on to weights: a + s (b + c s), 0 where a query precedes its key; their sums over
// keys to den.
inline void weigh_scores(const Problem& x, const Plan& plan, int64_t n_keys, int64_t first, int64_t columns,
                         int64_t row, int64_t key, bool diagonal, const Workspace& w) {
  const Lanes d;
  const Vec a = hn::Set(d, x.a), b = hn::Set(d, x.b), c = hn::Set(d, x.c);
  for (int64_t i = first; i < columns; i += kLanes) {
    float* at = w.scores + row * plan.ld + i;
    Vec sum = hn::LoadU(d, w.den + i);
    const Vec token = hn::LoadU(d, w.tokens + i);
    const bool masked = diagonal && hn::GetLane(token) < static_cast<float>(key + n_keys - 1);
    for (int64_t j = 0; j < n_keys; ++j, at += plan.ld) {
      const Vec s = hn::LoadU(d, at);
      Vec weight = hn::MulAdd(hn::MulAdd(c, s, b), s, a);
      if (masked) weight = hn::IfThenElseZero(hn::Ge(token, hn::Set(d, static_cast<float>(key + j))), weight);
      hn::StoreU(weight, d, at);
      sum = hn::Add(sum, weight);
    }
    hn::StoreU(sum, d, w.den + i);
  }
}

// num += weights^T values for one block of queries over keys [0, n_keys).
inline void add_values(const Plan& plan, int64_t first, int64_t queries, int64_t n_keys, const float* values,
                       const Workspace& w) {
  product<true, true>(queries, plan.value_n, n_keys, w.scores + first, plan.ld, values, plan.value_ld,
                      w.num + first * plan.value_ld, plan.value_ld);
}

// Weights of the keys at `slot`, of which not every query sees every one.
inline void weigh_diagonal(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot,
                           const Workspace& w) {
  const float* keys = w.k + slot * plan.key_ld;
  const int64_t columns = padded(queries);
  for (int64_t j = 0; j < n_keys; j += kPad) {
    const int64_t rows = std::min(kPad, n_keys - j), first = first_to_see(w, queries, slot + j, kPad);
    scores_of_keys(x, plan, rows, first, columns, keys + j * plan.key_ld, w, j);
    weigh_scores(x, plan, rows, first, columns, j, slot + j, true, w);
  }
}

// Adds what the keys at `slot` contribute to the packed queries. On the diagonal, not every query sees every key.
inline void attend_tile(const Problem& x, const Plan& plan, int64_t queries, int64_t n_keys, int64_t slot,
                        bool diagonal, const Workspace& w) {
  if (plan.narrow) return attend_narrow(x, plan, queries, n_keys, slot, diagonal, w);
  const float* keys = w.k + slot * plan.key_ld;
  const float* values = w.values + slot * w.values_ld;
  const int64_t columns = padded(queries);
  if (!diagonal) {
    scores_of_keys(x, plan, n_keys, 0, columns, keys, w, 0);
    weigh_scores(x, plan, n_keys, 0, columns, 0, slot, false, w);
    add_values(plan, 0, queries, n_keys, values, w);
    return;
  }
  weigh_diagonal(x, plan, queries, n_keys, slot, w);
  for (int64_t i = 0; i < queries; i += kPad) {
    const int64_t n = std::min(kPad, queries - i);
    add_values(plan, i, n, keys_seen(w, i + n - 1, slot, n_keys), values, w);
  }
}

// The state's part of the normalisers, to den where they are not a column of num.
inline void add_state_normalisers(const Problem& x, const Plan& plan, int64_t queries, const float* phi,
                                  const Workspace& w) {
  if (plan.num_has_den) return;
  const auto [first, step] = normaliser_of(x, plan);
  add_weighted_rows(x.F, padded(queries), phi, plan.ld, w.state + first, step, w.den);
}

// num = what the state contributes to the packed queries; the normaliser's part is added to den.
inline void attend_state(const Problem& x, const Plan& plan, int64_t queries, const Workspace& w) {
  const float* phi = query_features(x, plan, queries, w);
  add_state_normalisers(x, plan, queries, phi, w);
  if (plan.narrow) {
    product<true, false>(x.Dv, padded(queries), x.F, w.state, plan.value_ld, phi, plan.ld, w.num, plan.ld, w.lines);
  } else {
    product<true, false>(queries, plan.value_n, x.F, phi, plan.ld, w.state, plan.value_ld, w.num, plan.value_ld,
                         w.lines);
  }
}

// Sums of n queries before any pairs: from the state, or none.
inline void begin_sums(const Problem& x, const Plan& plan, int64_t n, bool from_state, const Workspace& w) {
  clear(padded(n), w.den);
  if (from_state) return attend_state(x, plan, n, w);
  clear(plan.narrow ? x.Dv * plan.ld : padded(n) * plan.value_ld, w.num);
}

// z = den of n queries, then den = 1 / (den + eps), or 1 without normalisation.
inline void finish_normalisers(const Problem& x, const Plan& plan, int64_t first, int64_t n, const Workspace& w) {
  const Lanes d;
  for (int64_t i = 0; plan.num_has_den && i < n; ++i) w.den[i] = w.num[i * plan.value_ld + x.Dv];
  for (int64_t i = 0; x.z != nullptr && i < n; ++i) x.z[first + i * x.H] = w.den[i];
  const Vec one = hn::Set(d, 1), eps = hn::Set(d, x.eps);
  for (int64_t i = 0; i < padded(n); i += kLanes) {
    hn::StoreU(x.normalize ? hn::Div(one, hn::Add(hn::LoadU(d, w.den + i), eps)) : one, d, w.den + i);
  }
}

// o = num / (den + eps), z = den.
inline void finish_queries(const Problem& x, const Plan& plan, const Item& item, int64_t at, int64_t n,
                           const Workspace& w) {
  const Lanes d;
  const int64_t first = query_at(x, item, at);
  finish_normalisers(x, plan, first, n, w);
  float* o = x.o + first * x.Dv;
  if (!plan.narrow) {
    for (int64_t i = 0; i < n; ++i) {
      unpack_rows(1, x.Dv, w.num + i * plan.value_ld, plan.value_ld, w.den[i], o + i * x.H * x.Dv, 0);
    }
    return;
  }
  for (int64_t i = 0; i < padded(n); i += kLanes) {
    const Vec u = hn::LoadU(d, w.den + i);
    for (int64_t e = 0; e < x.Dv; ++e) {
      hn::StoreU(hn::Mul(u, hn::LoadU(d, w.num + e * plan.ld + i)), d, w.num + e * plan.ld + i);
    }
  }
  unpack_columns(n, x.Dv, w.num, plan.ld, o, x.H * x.Dv);
}

// Outputs of queries i .., columns e ..: den (phi^T state + weights^T values), both sums in registers; phi null: no
// state.
template <int kRows, int kVecs>
HWY_INLINE void output_tile(const Problem& x, const Plan& plan, int64_t i, int64_t e, int64_t keys, const float* phi,
                            const Workspace& w, float* o) {
  const Lanes d;
  Vec sum[kRows][kVecs];
  for (int m = 0; m < kRows; ++m) {
    for (int n = 0; n < kVecs; ++n) sum[m][n] = hn::Zero(d);
  }
  if (phi != nullptr) {
    add_product_and_fetch<kRows, kVecs, true>(x.F, phi + i, plan.ld, w.state + e, plan.value_ld, sum, w.lines);
  }
  add_product<kRows, kVecs, true>(keys, w.scores + i, plan.ld, w.v + e, plan.value_ld, sum);
  for (int m = 0; m < kRows; ++m) {
    const Vec factor = hn::Set(d, w.den[i + m]);
    for (int n = 0; n < kVecs; ++n) {
      hn::StoreU(hn::Mul(factor, sum[m][n]), d, o + (i + m) * x.H * x.Dv + e + n * kLanes);
    }
  }
}

HWY_NOINLINE void chunk_outputs(const Problem& x, const Plan& plan, int64_t n, const float* phi, const Workspace& w,
                                float* o) {
  for (int64_t block = 0; block < n; block += kPad) {
    const int64_t queries = std::min(kPad, n - block), keys = keys_seen(w, block + queries - 1, 0, n);
    for_panels(x.Dv, [&](auto vectors, int64_t e) {
      for_row_tiles<vectors>(
          queries, [&](auto count, int64_t i) { output_tile<count, vectors>(x, plan, block + i, e, keys, phi, w, o); });
    });
  }
}

// A chunk's outputs from the state and its own keys, straight to where they belong: normalisers apart are known before.
inline void attend_chunk(const Problem& x, const Plan& plan, const Item& item, int64_t t, int64_t n, bool from_state,
                         const Workspace& w) {
  clear(padded(n), w.den);
  weigh_diagonal(x, plan, n, n, 0, w);
  const float* phi = from_state ? query_features(x, plan, n, w) : nullptr;
  if (phi != nullptr) add_state_normalisers(x, plan, n, phi, w);
  const int64_t first = query_at(x, item, t);
  finish_normalisers(x, plan, first, n, w);
  chunk_outputs(x, plan, n, phi, w, x.o + first * x.Dv);
}

// The chunk at t from the state in w.state, which it leaves advanced when a state is kept.
inline void forward_chunk(const Problem& x, const Plan& plan, const Item& item, int64_t t, const Workspace& w) {
  const int64_t n = std::min(plan.tile, item.end - t);
  stream_chunk(x, plan, item, item.batch * x.T + t + n, {{x.q, x.Dk}, {x.k, x.Dk}, {x.v, x.Dv}, {x.o, x.Dv}}, w.lines);
  fetch_outputs(x, plan, item, t, n, x.o, x.Dv);
  turn_queries(x, plan, item, t, n, w);
  pack_keys(x, plan, item, t, n, 0, w);
  const bool from_state = plan.states && (x.s0 != nullptr || t > 0);
  if (plan.apart) {
    attend_chunk(x, plan, item, t, n, from_state, w);
  } else {
    begin_sums(x, plan, n, from_state, w);
    attend_tile(x, plan, n, n, 0, true, w);
    finish_queries(x, plan, item, t, n, w);
  }
  if (t + n == item.end && (x.sT == nullptr || item.end < x.T)) return;
  add_keys_to_state(x, plan, n, 0, w);
}

// body(first slot, keys, diagonal) for the tiles of keys that some of n packed queries see.
template <class Body>
HWY_INLINE void for_key_tiles(const Plan& plan, int64_t n, const Workspace& w, const Body& body) {
  const auto first = static_cast<int64_t>(w.tokens[0]), last = static_cast<int64_t>(w.tokens[n - 1]);
  for (int64_t s = 0; s <= last; s += plan.tile) {
    const int64_t keys = std::min(plan.tile, last + 1 - s);
    body(s, keys, s + padded(keys) - 1 > first);
  }
}

// Every query tile against the key tiles that it sees; the state, when there is one, through the features.
inline void forward_tiles(const Problem& x, const Plan& plan, const Item& item, const Workspace& w) {
  for (int64_t t = 0; t < x.T; t += plan.tile) pack_keys(x, plan, item, t, std::min(plan.tile, x.T - t), t, w);
  for (int64_t i = 0; i < x.N; i += plan.tile) {
    const int64_t n = std::min(plan.tile, x.N - i);
    number_queries(x, item, i, n, w);
    turn_queries(x, plan, item, i, n, w);
    begin_sums(x, plan, n, x.s0 != nullptr, w);
    for_key_tiles(plan, n, w, [&](int64_t s, int64_t keys, bool diagonal) HWY_ATTR {
      attend_tile(x, plan, n, keys, s, diagonal, w);
    });
    finish_queries(x, plan, item, i, n, w);
  }
  for (int64_t t = 0; x.sT != nullptr && t < x.T; t += plan.tile) {
    const int64_t n = std::min(plan.tile, x.T - t);
    add_keys_to_state(x, plan, n, t, w);
  }
}

// state += what the keys of one item add; for segments of time that threads share.
inline void sum_keys(const Problem& x, const Plan& plan, const Item& item, const Workspace& w) {
  for (int64_t t = item.begin; t < item.end; t += plan.tile) {
    const int64_t n = std::min(plan.tile, item.end - t);
    pack_keys(x, plan, item, t, n, 0, w);
    add_keys_to_state(x, plan, n, 0, w);
  }
}

// body(head, its workspace) for each head of an item; a head's own `heads` counts those that follow it too.
template <class Body>
HWY_INLINE void for_each_head(const Problem& x, const Plan& plan, const Item& item, const Workspace& shared,
                              const Body& body) {
  for (int64_t h = 0; h < item.heads; ++h) {
    const Item head{item.batch, item.head + h, item.begin, item.end, item.heads - h};
    Workspace w = shared;
    w.state += h * plan.state_floats;
    if (w.dz != nullptr) w.dz += h * x.T;
    place_values(x, plan, head, w);
    body(head, w);
  }
}

// The states s, z [B, H, F, ..] of an item's heads (null: zeros) to where its workspace keeps them.
inline void load_states(const Problem& x, const Plan& plan, const Item& item, const float* s, const float* z,
                        const Workspace& w) {
  for_each_head(x, plan, item, w, [&](const Item& head, const Workspace& own) {
    const int64_t at = state_at(x, head);
    load_state(x, plan, s == nullptr ? nullptr : s + at * x.Dv, z == nullptr ? nullptr : z + at, own.state);
  });
}

inline void store_states(const Problem& x, const Plan& plan, const Item& item, const Workspace& w, float* s, float* z) {
  for_each_head(x, plan, item, w, [&](const Item& head, const Workspace& own) {
    const int64_t at = state_at(x, head);
    store_state(x, plan, own.state, s == nullptr ? nullptr : s + at * x.Dv, z == nullptr ? nullptr : z + at);
  });
}

// One item from start to end. The states live in w.state; with several segments they are already there.
inline void forward_item(const Problem& x, const Plan& plan, const Item& item, const Workspace& w) {
  if (plan.states && plan.segments == 1) load_states(x, plan, item, x.s0, x.z0, w);
  if (plan.form == Form::kParallel) {
    for_each_head(x, plan, item, w, [&](const Item& head, const Workspace& own) { forward_tiles(x, plan, head, own); });
  } else {
    number_chunk(plan, w);
    for (int64_t t = item.begin; t < item.end; t += plan.tile) {
      for_each_head(x, plan, item, w,
                    [&](const Item& head, const Workspace& own) { forward_chunk(x, plan, head, t, own); });
    }
  }
  if (x.sT != nullptr && item.end == x.T) store_states(x, plan, item, w, x.sT, x.zT);
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#endif
