// One chunk of decayed linear attention as both passes need it: packed rows, factors, and weights of pairs; compiled
// once for each instruction set.
#if defined(REBASED_CORES_LINEAR_ATTENTION_DECAY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_CORES_LINEAR_ATTENTION_DECAY_INL_H_
#undef REBASED_CORES_LINEAR_ATTENTION_DECAY_INL_H_
#else
#define REBASED_CORES_LINEAR_ATTENTION_DECAY_INL_H_
#endif

#include "cores/linear_attention/cpu_decay.h"
#include "kernels/tools/lanes-inl.h"
#include "kernels/tools/tile-inl.h"
#include "kernels/tools/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::decayed::HWY_NAMESPACE {

using namespace cpu::HWY_NAMESPACE::lanes;  // NOLINT

// Tokens [t, t + n) of one (batch, head).
struct Stretch {
  int64_t head;  // counted over the batch
  int64_t t, n;
};

inline int64_t token_at(const Args& x, int64_t head, int64_t t) { return (head / x.H * x.T + t) * x.H + head % x.H; }

// n rows of D numbers, times a factor, to rows of ld with zeros behind.
inline void load_rows(int64_t n, int64_t D, const float* from, int64_t stride, float factor, float* to, int64_t ld) {
  const Vec scale = hn::Set(Tag(), factor);
  const int64_t step = lane_count();
  for (int64_t r = 0; r < n; ++r, from += stride, to += ld) {
    int64_t c = 0;
    for (; c + step <= D; c += step) hn::StoreU(hn::Mul(scale, hn::LoadU(Tag(), from + c)), Tag(), to + c);
    for (; c < ld; c += step) {
      const Vec rest = c < D ? hn::Mul(scale, load_first(Tag(), from + c, D - c)) : hn::Zero(Tag());
      hn::StoreU(rest, Tag(), to + c);
    }
  }
}

inline void fill(int64_t n, float value, float* to) { std::fill_n(to, n, value); }

inline void exponentials(int64_t n, float* x) {  // n a multiple of the lanes
  for (int64_t i = 0; i < n; i += lane_count()) {
    hn::StoreU(exp_nonpositive(Tag(), hn::LoadU(Tag(), x + i)), Tag(), x + i);
  }
}

// exp(log_decay), one a token or one a feature of each.
inline void load_factors(const Args& x, const Plan& p, const Stretch& at, const Work& w) {
  const int64_t first = token_at(x, at.head, at.t);
  if (p.by_feature) {
    load_rows(at.n, x.F, x.log_decay + first * x.F, x.H * x.F, 1, w.factor, p.ld_f);
    return exponentials(at.n * p.ld_f, w.factor);
  }
  const bool constant = x.decay == Decay::kHead;
  for (int64_t i = 0; i < p.ld_t; ++i) {
    const int64_t from = constant ? at.head % x.H : first + i * x.H;
    w.factor[i] = i < at.n ? x.log_decay[from] : 0;
  }
  exponentials(p.ld_t, w.factor);
}

inline float dot(int64_t ld, const float* a, const float* b, const float* c) {
  Vec sum = hn::Zero(Tag());
  for (int64_t f = 0; f < ld; f += lane_count()) {
    sum = hn::MulAdd(hn::Mul(hn::LoadU(Tag(), a + f), hn::LoadU(Tag(), b + f)), hn::LoadU(Tag(), c + f), sum);
  }
  return sum_lanes(sum);
}

// to[f] = a[f] b[f], or a[f] times one number.
inline void multiply_row(int64_t ld, const float* a, const float* b, float* to) {
  for (int64_t f = 0; f < ld; f += lane_count()) {
    hn::StoreU(hn::Mul(hn::LoadU(Tag(), a + f), hn::LoadU(Tag(), b + f)), Tag(), to + f);
  }
}
inline void multiply_row(int64_t ld, const float* a, float b, float* to) {
  const Vec factor = hn::Set(Tag(), b);
  for (int64_t f = 0; f < ld; f += lane_count()) hn::StoreU(hn::Mul(hn::LoadU(Tag(), a + f), factor), Tag(), to + f);
}

// Once for a head: w.bonus.
inline void load_bonus(const Args& x, const Plan& p, int64_t head, const Work& w) {
  if (x.bonus == nullptr) return fill(p.ld_f, 1, w.bonus);
  load_rows(1, x.F, x.bonus + head % x.H * x.F, x.F, 1, w.bonus, p.ld_f);
}

// Place of a token in its document; without documents any that is not a first one.
inline int64_t position_of(const Args& x, int64_t head, int64_t t) {
  return x.positions == nullptr ? 1 : x.positions[head / x.H * x.T + t];
}

// A document's first token meets nothing from before it, and padding neither reads nor writes.
inline void cut_documents(const Args& x, const Plan& p, const Stretch& at, const Work& w) {
  fill(at.n, 1, w.meets);
  for (int64_t i = 0; x.positions != nullptr && i < at.n; ++i) {
    const int64_t position = position_of(x, at.head, at.t + i);
    if (position > 0) continue;
    const float factor = position < 0 ? 1 : 0;
    w.meets[i] = 0;
    p.by_feature ? fill(p.ld_f, factor, w.factor + i * p.ld_f) : fill(1, factor, w.factor + i);
    if (position == 0) continue;
    fill(p.ld_f, 0, w.q + i * p.ld_f);
    fill(p.ld_f, 0, w.k + i * p.ld_f);
    fill(p.ld_v, 0, w.v + i * p.ld_v);
  }
}

// The operands of a stretch, what its queries read with, and what a token gives itself.
inline void load(const Args& x, const Plan& p, const Stretch& at, const Work& w) {
  const int64_t first = token_at(x, at.head, at.t);
  load_rows(at.n, x.F, x.q + first * x.F, x.H * x.F, static_cast<float>(x.scale), w.q, p.ld_f);
  load_rows(at.n, x.F, x.k + first * x.F, x.H * x.F, 1, w.k, p.ld_f);
  load_rows(at.n, x.Dv, x.v + first * x.Dv, x.H * x.Dv, 1, w.v, p.ld_v);
  for (int64_t i = 0; x.normalize && i < at.n; ++i) w.v[i * p.ld_v + x.Dv] = 1;
  load_factors(x, p, at, w);
  cut_documents(x, p, at, w);
  for (int64_t i = 0; i < at.n; ++i) {
    const int64_t row = i * p.ld_f;
    w.own[i] = dot(p.ld_f, w.q + row, w.k + row, w.bonus);
    if (x.bonus != nullptr) {
      multiply_row(p.ld_f, w.q + row, w.meets[i], w.reading + row);
    } else if (p.by_feature) {
      multiply_row(p.ld_f, w.q + row, w.factor + row, w.reading + row);
    } else {
      multiply_row(p.ld_f, w.q + row, w.factor[i], w.reading + row);
    }
  }
}

// --- one factor a token ---

inline void token_products(const Plan& p, int64_t n, const Work& w) {
  fill(p.ld_t, 0, w.between);
  w.before[0] = 1, w.behind[n - 1] = 1;
  for (int64_t i = 1; i < n; ++i) {
    float* row = w.between + i * p.ld_t;
    multiply_row(p.ld_t, row - p.ld_t, w.factor[i - 1], row);
    row[i - 1] = 1;
    w.before[i] = w.before[i - 1] * w.factor[i - 1];
    w.behind[n - 1 - i] = w.behind[n - i] * w.factor[n - i];
  }
  fill(p.ld_f, w.before[n - 1] * w.factor[n - 1], w.whole);
}

// Of a constant, each from its own logarithm: a rounded factor would err alike at every token.
inline void constant_products(const Plan& p, int64_t n, float log_decay, const Work& w) {
  for (int64_t i = 0; i < p.ld_t; ++i) w.before[i] = i == 0 ? 0 : static_cast<float>(i) * log_decay;
  exponentials(p.ld_t, w.before);
  fill(n * p.ld_t, 0, w.between);
  for (int64_t i = 0; i < n; ++i) {
    std::reverse_copy(w.before, w.before + i, w.between + i * p.ld_t);
    w.behind[i] = w.before[n - 1 - i];
  }
  fill(p.ld_f, w.before[n - 1] * w.factor[0], w.whole);
}

// --- one factor a feature: kVecs vectors of features side by side ---

// from_start, and scores[i, j] += <reading_i, factors between, k_j> for j < i.
template <int kVecs>
inline void feature_scores(const Plan& p, int64_t n, int64_t f, const Work& w) {
  const int64_t step = lane_count();
  const Tag d;
  for (int64_t i = 0; i < n; ++i) {
    Vec weight[kVecs];
    for (int v = 0; v < kVecs; ++v) weight[v] = hn::LoadU(d, w.reading + i * p.ld_f + f + v * step);
    const auto meet = [&](int64_t j) HWY_ATTR {
      Vec sum = hn::Zero(d);
      const float *k = w.k + j * p.ld_f + f, *factor = w.factor + j * p.ld_f + f;
      for (int v = 0; v < kVecs; ++v) sum = hn::MulAdd(weight[v], hn::LoadU(d, k + v * step), sum);
      for (int v = 0; v < kVecs; ++v) weight[v] = hn::Mul(weight[v], hn::LoadU(d, factor + v * step));
      return sum;
    };
    float* scores = w.scores + i * p.ld_t;
    int64_t j = i - 1;
    for (; j >= 3; j -= 4) {
      const Vec a = meet(j), b = meet(j - 1), c = meet(j - 2), e = meet(j - 3);
      HWY_ALIGN float sums[4];
      sums_of_lanes(d, e, c, b, a, sums);
      for (int64_t s = 0; s < 4; ++s) scores[j - 3 + s] += sums[s];
    }
    for (; j >= 0; --j) scores[j] += sum_lanes(meet(j));
    for (int v = 0; v < kVecs; ++v) hn::StoreU(weight[v], d, w.from_start + i * p.ld_f + f + v * step);
  }
}

// to_end and whole.
template <int kVecs>
inline void feature_ends(const Plan& p, int64_t n, int64_t f, const Work& w) {
  const int64_t step = lane_count();
  const Tag d;
  Vec behind[kVecs];
  for (int v = 0; v < kVecs; ++v) behind[v] = hn::Set(d, 1);
  for (int64_t j = n - 1; j >= 0; --j) {
    for (int v = 0; v < kVecs; ++v) {
      const int64_t at = j * p.ld_f + f + v * step;
      hn::StoreU(hn::Mul(behind[v], hn::LoadU(d, w.k + at)), d, w.to_end + at);
      behind[v] = hn::Mul(behind[v], hn::LoadU(d, w.factor + at));
    }
  }
  for (int v = 0; v < kVecs; ++v) hn::StoreU(behind[v], d, w.whole + f + v * step);
}

// Calls body.template operator()<kVecs>(f) over all features.
template <class Body>
HWY_INLINE void over_features(const Plan& p, const Body& body) {
  const int64_t step = lane_count();
  int64_t f = 0;
  for (; f + 4 * step <= p.ld_f; f += 4 * step) body(std::integral_constant<int, 4>(), f);
  for (; f < p.ld_f; f += step) body(std::integral_constant<int, 1>(), f);
}

// --- either ---

// Keys as they reach the chunk's end, and the factors of the whole chunk.
inline void load_ends(const Args& x, const Plan& p, int64_t head, int64_t n, const Work& w) {
  if (p.by_feature) {
    over_features(p, [&](auto vecs, int64_t f) HWY_ATTR { feature_ends<decltype(vecs)::value>(p, n, f, w); });
    return;
  }
  x.decay == Decay::kHead&& x.positions == nullptr ? constant_products(p, n, x.log_decay[head % x.H], w)
                                                   : token_products(p, n, w);
  for (int64_t j = 0; j < n; ++j) multiply_row(p.ld_f, w.k + j * p.ld_f, w.behind[j], w.to_end + j * p.ld_f);
}

// Rows of kPad queries against the keys up to their last one.
template <class Rows>
HWY_INLINE void over_queries(int64_t n, const Rows& rows) {
  for (int64_t i = 0; i < n; i += kPad) rows(i, std::min(kPad, n - i), std::min(i + kPad, n));
}

// Weights of the keys at and before each query, zero behind it; and queries as they reach the chunk's start. Behind
// load and load_ends.
inline void load_scores(const Plan& p, int64_t n, const Work& w) {
  fill(n * p.ld_t, 0, w.scores);
  if (p.by_feature) {
    over_features(p, [&](auto vecs, int64_t f) HWY_ATTR { feature_scores<decltype(vecs)::value>(p, n, f, w); });
  } else {
    fill((round_up(n, 4) - n) * p.ld_f, 0, w.k + n * p.ld_f);
    transpose(round_up(n, 4), p.ld_f, w.k, p.ld_f, w.turned, p.ld_t);
    for (int64_t f = 0; f < p.ld_f; ++f) fill(p.ld_t - round_up(n, 4), 0, w.turned + f * p.ld_t + round_up(n, 4));
    over_queries(n, [&](int64_t i, int64_t rows, int64_t keys) HWY_ATTR {
      multiply(rows, round_up(keys, kPad), p.ld_f, {w.reading + i * p.ld_f, p.ld_f, 1}, w.turned, p.ld_t, false,
               w.scores + i * p.ld_t, p.ld_t);
    });
    for (int64_t i = 0; i < n; ++i) {
      multiply_row(p.ld_t, w.scores + i * p.ld_t, w.between + i * p.ld_t, w.scores + i * p.ld_t);
      multiply_row(p.ld_f, w.reading + i * p.ld_f, w.before[i], w.from_start + i * p.ld_f);
    }
  }
  for (int64_t i = 0; i < n; ++i) w.scores[i * p.ld_t + i] = w.own[i];
}

}  // namespace rebased::kernels::cpu::decayed::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
