#include "base/threads.h"
#include "cores/linear_attention/cpu_decay.h"
#include "kernels/tools/head_group.h"

namespace rebased::kernels::cpu::decayed {
namespace {

Form form_of(const Args& x, bool backward) {
  if (x.form == Form::kRecurrent && backward) return Form::kChunked;
  if (x.form != Form::kAuto) return x.form;
  const bool states = x.s0 != nullptr || x.sT != nullptr;
  if (states) return x.T < 4 && !backward ? Form::kRecurrent : Form::kChunked;
  // All pairs in one chunk against a state that is read and written, by multiplications a token.
  const int64_t pair = 2 * x.F + x.Dv, state = 2 * x.F * x.Dv;
  const bool alone = x.T * pair <= 2 * state + kChunk * pair;
  return alone && x.T <= kMostChunk ? Form::kParallel : Form::kChunked;
}

}  // namespace

Plan make_plan(const Args& x, bool backward) noexcept {
  Plan plan;
  plan.form = form_of(x, backward);
  const int64_t asked = plan.form == Form::kParallel ? x.T : x.chunk > 0 ? x.chunk : kChunk;
  plan.chunk = std::min({asked, kMostChunk, std::max<int64_t>(x.T, 1)});
  plan.chunks = (x.T + plan.chunk - 1) / plan.chunk;
  plan.values = x.Dv + (x.normalize ? 1 : 0);
  plan.ld_f = round_up(x.F, kPad);
  plan.ld_v = round_up(plan.values, kPad);
  plan.ld_t = round_up(plan.chunk, kPad);
  plan.by_feature = x.decay == Decay::kFeature;
  const bool alone = backward || plan.form != Form::kChunked;
  plan.group = alone ? 1 : head_group(x.B, x.H, x.F * plan.ld_v, thread_count());
  return plan;
}

Work carve(const Plan& p, const Args& x, bool backward, Scratch& scratch) noexcept {
  Work w{};
  const int64_t rows = p.form == Form::kRecurrent ? 1 : round_up(p.chunk, 4);
  const int64_t keys = rows * p.ld_f, pairs = p.ld_t * p.ld_t;
  w.q = scratch.take(keys), w.k = scratch.take(keys), w.v = scratch.take(p.ld_t * p.ld_v);
  w.factor = scratch.take(p.by_feature ? keys : p.ld_t);
  w.reading = scratch.take(keys);
  w.bonus = scratch.take(p.ld_f), w.whole = scratch.take(p.ld_f);
  w.own = scratch.take(p.ld_t), w.meets = scratch.take(p.ld_t);
  if (p.form == Form::kRecurrent) {
    w.state = scratch.take(x.F * p.values);
    return w;
  }
  if (!p.by_feature) {
    w.between = scratch.take(pairs);
    w.before = scratch.take(p.ld_t), w.behind = scratch.take(p.ld_t);
  }
  w.from_start = scratch.take(keys), w.to_end = scratch.take(p.ld_t * p.ld_f);
  w.turned = scratch.take(p.ld_f * p.ld_t);
  w.scores = scratch.take(pairs);
  w.out = scratch.take(p.chunk * p.ld_v);
  const int64_t state = p.values * p.ld_f;
  w.state = scratch.take(backward ? p.chunks * state : p.group * x.F * p.ld_v);
  if (!backward) return w;
  w.g = scratch.take(p.chunk * p.ld_v), w.values_turned = scratch.take(p.ld_v * p.ld_t);
  w.d_scores = scratch.take(pairs);
  w.d_reading = scratch.take(keys), w.dk = scratch.take(keys);
  w.d_factor = scratch.take(p.by_feature ? keys : 0);
  w.dv_turned = scratch.take(p.ld_v * p.ld_t), w.dv = scratch.take(p.ld_t * p.ld_v);
  w.d_state = scratch.take(state), w.flow = scratch.take(p.ld_f);
  return w;
}

Shared carve_shared(const GradArgs& args, Scratch& scratch) noexcept {
  const Args& x = args.forward;
  const bool decay = args.d_log_decay != nullptr && x.decay == Decay::kHead;
  return {decay ? scratch.take(x.B * x.H) : nullptr, args.d_bonus != nullptr ? scratch.take(x.B * x.H * x.F) : nullptr};
}

int64_t scratch_floats(const Args& args) noexcept {
  Scratch measure(nullptr);
  carve(make_plan(args, false), args, false, measure);
  return Scratch::kAlign + thread_count() * measure.used();
}

int64_t scratch_floats(const GradArgs& args) noexcept {
  Scratch shared(nullptr), measure(nullptr);
  carve_shared(args, shared);
  carve(make_plan(args.forward, true), args.forward, true, measure);
  return Scratch::kAlign + shared.used() + thread_count() * measure.used();
}

}  // namespace rebased::kernels::cpu::decayed
