#include "cores/linear_attention/cpu_decay.h"

#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/linear_attention/cpu_decay.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"

#include "cores/linear_attention/decay-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::decayed::HWY_NAMESPACE {
namespace {

// s [F, Dv] and z [F], of which either may be null: zeros.
void load_state(const Args& x, const Plan& p, int64_t head, float* state) {
  fill(x.F * p.ld_v, 0, state);
  for (int64_t f = 0; f < x.F; ++f) {
    if (x.s0 != nullptr) std::copy_n(x.s0 + (head * x.F + f) * x.Dv, x.Dv, state + f * p.ld_v);
    if (x.s0 != nullptr && x.normalize) state[f * p.ld_v + x.Dv] = x.z0[head * x.F + f];
  }
}

void store_state(const Args& x, const Plan& p, int64_t head, const float* state) {
  for (int64_t f = 0; f < x.F; ++f) {
    std::copy_n(state + f * p.ld_v, x.Dv, x.sT + (head * x.F + f) * x.Dv);
    if (x.normalize) x.zT[head * x.F + f] = state[f * p.ld_v + x.Dv];
  }
}

void store_outputs(const Args& x, const Plan& p, const Stretch& at, const float* out) {
  for (int64_t i = 0; i < at.n; ++i, out += p.ld_v) {
    const int64_t token = token_at(x, at.head, at.t + i);
    const float z = x.normalize ? out[x.Dv] : 0;
    if (x.normalize && x.z != nullptr) x.z[token] = z;
    float* o = x.o + token * x.Dv;
    if (position_of(x, at.head, at.t + i) < 0) {
      fill(x.Dv, 0, o);
      continue;
    }
    const Vec factor = hn::Set(Tag(), x.normalize ? 1 / (z + static_cast<float>(x.eps)) : 1);
    for_each_vector(x.Dv, [&](int64_t e, auto to) HWY_ATTR { to.store(hn::Mul(factor, to.load(out + e)), o + e); });
  }
}

// state = whole state + to_end^T v
void advance(const Args& x, const Plan& p, int64_t n, bool fresh, const Work& w) {
  for (int64_t f = 0; !fresh && f < x.F; ++f) {
    multiply_row(p.ld_v, w.state + f * p.ld_v, w.whole[f], w.state + f * p.ld_v);
  }
  multiply(x.F, p.ld_v, n, {w.to_end, 1, p.ld_f}, w.v, p.ld_v, !fresh, w.state, p.ld_v);
}

void forward_chunk(const Args& x, const Plan& p, const Stretch& at, bool fresh, const Work& w) {
  load(x, p, at, w);
  load_ends(x, p, at.head, at.n, w);
  load_scores(p, at.n, w);
  over_queries(at.n, [&](int64_t i, int64_t rows, int64_t keys) HWY_ATTR {
    multiply(rows, p.ld_v, keys, {w.scores + i * p.ld_t, p.ld_t, 1}, w.v, p.ld_v, false, w.out + i * p.ld_v, p.ld_v);
  });
  if (!fresh) multiply(at.n, p.ld_v, x.F, {w.from_start, p.ld_f, 1}, w.state, p.ld_v, true, w.out, p.ld_v);
  store_outputs(x, p, at, w.out);
}

// The heads of a group chunk by chunk side by side: their rows are neighbours in memory.
void forward_group(const Args& x, const Plan& p, int64_t first, const Work& w) {
  const int64_t state = x.F * p.ld_v;
  Work own = w;
  for (int64_t h = 0; h < p.group && x.s0 != nullptr; ++h) load_state(x, p, first + h, w.state + h * state);
  for (int64_t t = 0; t < x.T; t += p.chunk) {
    const int64_t n = std::min(p.chunk, x.T - t);
    const bool fresh = t == 0 && x.s0 == nullptr, last = t + n == x.T && x.sT == nullptr;
    for (int64_t h = 0; h < p.group; ++h) {
      own.state = w.state + h * state;
      load_bonus(x, p, first + h, w);
      forward_chunk(x, p, {first + h, t, n}, fresh, own);
      if (!last) advance(x, p, n, fresh, own);
    }
  }
  for (int64_t h = 0; h < p.group && x.sT != nullptr; ++h) store_state(x, p, first + h, w.state + h * state);
}

// --- token by token ---

// Columns of the state of one token: to[f] = factor[f] from[f] + k[f] v, o = own v + sum_f reading[f] from[f].
struct Step {
  int64_t F, ld;
  const float *factor, *k, *reading, *from;
  float* to;
};

template <int kVecs, class Access>
HWY_INLINE void step_columns(const Step& step, int64_t e, Access at, const float* v, float own, float* o) {
  Vec value[kVecs], sum[kVecs];
  for (int n = 0; n < kVecs; ++n) {
    value[n] = at.load(v + e + n * lane_count());
    sum[n] = hn::Mul(hn::Set(Tag(), own), value[n]);
  }
  for (int64_t f = 0; f < step.F; ++f) {
    const Vec k = hn::Set(Tag(), step.k[f]), factor = hn::Set(Tag(), step.factor[f]);
    const Vec reading = hn::Set(Tag(), step.reading[f]);
    for (int n = 0; n < kVecs; ++n) {
      const int64_t column = f * step.ld + e + n * lane_count();
      const Vec before = at.load(step.from + column);
      sum[n] = hn::MulAdd(reading, before, sum[n]);
      at.store(hn::MulAdd(factor, before, hn::Mul(k, value[n])), step.to + column);
    }
  }
  for (int n = 0; n < kVecs; ++n) at.store(sum[n], o + e + n * lane_count());
}

void step_values(const Step& step, const float* v, float own, float* o) {
  const int64_t Dv = step.ld, lanes = lane_count();
  int64_t e = 0;
  for (; e + 4 * lanes <= Dv; e += 4 * lanes) step_columns<4>(step, e, Whole{}, v, own, o);
  for (; e + lanes <= Dv; e += lanes) step_columns<1>(step, e, Whole{}, v, own, o);
  if (e < Dv) step_columns<1>(step, e, Rest{Dv - e}, v, own, o);
}

float step_normaliser(const Step& step, float own) {
  float sum = own;
  for (int64_t f = 0; f < step.F; ++f) {
    const float before = step.from[f];
    sum += step.reading[f] * before;
    step.to[f] = step.factor[f] * before + step.k[f];
  }
  return sum;
}

// The state is advanced in the final one, which may be the initial one.
void recurrent_head(const Args& x, const Plan& p, int64_t head, const Work& w) {
  const int64_t state = head * x.F;
  float* s = x.sT != nullptr ? x.sT + state * x.Dv : w.state;
  float* z = !x.normalize ? nullptr : x.sT != nullptr ? x.zT + state : w.state + x.F * x.Dv;
  const float* s_from = x.s0 != nullptr ? x.s0 + state * x.Dv : s;
  const float* z_from = x.s0 != nullptr && x.normalize ? x.z0 + state : z;
  if (x.s0 == nullptr) fill(x.F * x.Dv, 0, s);
  if (x.s0 == nullptr && x.normalize) fill(x.F, 0, z);
  load_bonus(x, p, head, w);
  for (int64_t t = 0; t < x.T; ++t, s_from = s, z_from = z) {
    load(x, p, {head, t, 1}, w);
    const int64_t token = token_at(x, head, t);
    float* o = x.o + token * x.Dv;
    const float* factor = w.factor;
    if (!p.by_feature) fill(p.ld_f, w.factor[0], w.whole), factor = w.whole;
    step_values({x.F, x.Dv, factor, w.k, w.reading, s_from, s}, w.v, w.own[0], o);
    if (!x.normalize) continue;
    const float total = step_normaliser({x.F, 1, factor, w.k, w.reading, z_from, z}, w.own[0]);
    if (x.z != nullptr) x.z[token] = total;
    if (position_of(x, head, t) < 0) continue;  // its sums are zero
    const Vec scale = hn::Set(Tag(), 1 / (total + static_cast<float>(x.eps)));
    for_each_vector(x.Dv, [&](int64_t e, auto to) HWY_ATTR { to.store(hn::Mul(scale, to.load(o + e)), o + e); });
  }
}

void run_groups(const Args& x, const Plan& p, int64_t begin, int64_t end, const Work& w) {
  const FlushToZero flush;
  for (int64_t group = begin; group < end; ++group) {
    p.form == Form::kRecurrent ? recurrent_head(x, p, group, w) : forward_group(x, p, group * p.group, w);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::decayed::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu::decayed {
namespace {

HWY_EXPORT(run_groups);

}  // namespace

void forward(const Args& x) noexcept {
  if (x.B * x.T * x.H == 0) return;
  const Plan plan = make_plan(x, false);
  Scratch measure(nullptr);
  carve(plan, x, false, measure);
  const Scratch base(x.scratch);
  parallel_for(x.B * x.H / plan.group, 1, [&](int64_t begin, int64_t end) {
    Scratch own = base;
    own.take(thread_index() * measure.used());
    const Work w = carve(plan, x, false, own);
    HWY_DYNAMIC_DISPATCH(run_groups)(x, plan, begin, end, w);
  });
}

}  // namespace rebased::kernels::cpu::decayed
#endif
