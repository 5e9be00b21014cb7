// Threads over (batch, group of heads), and over segments of time where there are too few of those; the instruction set
// is chosen here. With segments: every segment's own sum, their running sum, then every segment from its true state.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/causal/run.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "kernels/causal/backward-inl.h"
#include "kernels/causal/recurrent-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::attention {
namespace HWY_NAMESPACE {

// `state_grad` is read by the backward passes over segments only.
void run_item(Pass pass, const Problem& x, const Plan& shared_plan, const Item& item, float* state_grad,
              const Workspace& workspace) {
  Plan plan = shared_plan;
  plan.streamed &= kManyRegisters;  // smaller tiles pay more for their lines than they gain
  LineStream lines;
  Workspace w = workspace;
  w.lines = &lines;
  switch (pass) {
    case Pass::kForward:
      return forward_item(x, plan, item, w);
    case Pass::kRecurrent:
      return recurrent_item(x, item, w);
    case Pass::kBackward:
      return backward_item(x, plan, item, state_grad, w);
    case Pass::kSumKeys:
    case Pass::kSumQueries:
      place_values(x, plan, item, w);
      clear(plan.state_floats, w.state);
      return pass == Pass::kSumKeys ? sum_keys(x, plan, item, w) : sum_queries(x, plan, item, w);
  }
}

// A state of the caller's (null: zeros) into the packed layout.
void load_head_state(const Problem& x, const Plan& plan, int64_t head, const float* s, const float* z, float* state) {
  load_state(x, plan, s == nullptr ? nullptr : s + head * x.F * x.Dv, z == nullptr ? nullptr : z + head * x.F, state);
}

}  // namespace HWY_NAMESPACE
}  // namespace rebased::kernels::cpu::attention
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace rebased::kernels::cpu::attention {
namespace {

HWY_EXPORT(run_item);
HWY_EXPORT(load_head_state);

// The caller's scratch: with segments, the state before each and (backward) the gradient after each; then workspaces.
class Scratch {
 public:
  Scratch(const Problem& x, const Plan& plan, bool backward) : x_(x), plan_(plan), backward_(backward) {
    const auto address = reinterpret_cast<uintptr_t>(x.scratch) / sizeof(float);
    base_ = x.scratch + (kPad - static_cast<int64_t>(address % kPad)) % kPad;
  }
  float* state(int64_t head, int64_t segment) const {
    return base_ + (head * plan_.segments + segment) * plan_.state_floats;
  }
  float* state_grad(int64_t head, int64_t segment) const {
    return state(head, segment) + x_.B * x_.H * plan_.segments * plan_.state_floats;
  }
  Workspace workspace() const {
    const int64_t states = plan_.segments > 1 ? x_.B * x_.H * plan_.segments * plan_.state_floats : 0;
    const int64_t lane = x_.threads == 1 ? 0 : thread_index();
    Workspace w;
    carve(x_, plan_, backward_, base_ + states * (backward_ ? 2 : 1) + lane * plan_.workspace, w);
    return w;
  }

 private:
  const Problem& x_;
  const Plan& plan_;
  bool backward_;
  float* base_;
};

// `head` counts over the batch too and is the first of its group.
Item make_item(const Problem& x, const Plan& plan, int64_t head, int64_t segment) {
  const int64_t chunks = (x.T + plan.tile - 1) / plan.tile;
  auto bound = [&](int64_t s) { return std::min(x.T, chunks * s / plan.segments * plan.tile); };
  return {head / x.H, head % x.H, bound(segment), bound(segment + 1), plan.group};
}

constexpr int64_t kRuns = 8;  // of items a thread, or about as many

void run_items(Pass pass, const Problem& x, const Plan& plan, const Scratch& scratch) {
  const bool shared = plan.segments > 1;
  const int64_t items = x.B * x.H / plan.group * plan.segments;
  parallel_runs(items, std::max<int64_t>(1, items / (kRuns * thread_count())), [&](int64_t begin, int64_t end) {
    Workspace w = scratch.workspace();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / plan.segments * plan.group, segment = i % plan.segments;
      if (shared) w.state = scratch.state(head, segment);
      float* state_grad = shared ? scratch.state_grad(head, segment) : nullptr;
      HWY_DYNAMIC_DISPATCH(run_item)(pass, x, plan, make_item(x, plan, head, segment), state_grad, w);
    }
  });
}

// The sum of each segment but the one nobody continues from, into the place of the segment that continues from it.
void sum_segments(Pass pass, const Problem& x, const Plan& plan, const Scratch& scratch) {
  const bool keys = pass == Pass::kSumKeys;
  parallel_for(x.B * x.H * (plan.segments - 1), 1, [&](int64_t begin, int64_t end) {
    Workspace w = scratch.workspace();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / (plan.segments - 1), segment = i % (plan.segments - 1);
      w.state = keys ? scratch.state(head, segment + 1) : scratch.state_grad(head, segment);
      const Item item = make_item(x, plan, head, keys ? segment : segment + 1);
      HWY_DYNAMIC_DISPATCH(run_item)(pass, x, plan, item, nullptr, w);
    }
  });
}

void add_floats(int64_t n, const float* from, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

void states_before_segments(const Problem& x, const Plan& plan, const Scratch& scratch) {
  sum_segments(Pass::kSumKeys, x, plan, scratch);
  for (int64_t head = 0; head < x.B * x.H; ++head) {
    HWY_DYNAMIC_DISPATCH(load_head_state)(x, plan, head, x.s0, x.z0, scratch.state(head, 0));
    for (int64_t s = 1; s < plan.segments; ++s) {
      add_floats(plan.state_floats, scratch.state(head, s - 1), scratch.state(head, s));
    }
  }
}

void state_grads_after_segments(const Problem& x, const Plan& plan, const Scratch& scratch) {
  sum_segments(Pass::kSumQueries, x, plan, scratch);
  for (int64_t head = 0; head < x.B * x.H; ++head) {
    const int64_t last = plan.segments - 1;
    HWY_DYNAMIC_DISPATCH(load_head_state)(x, plan, head, x.d_sT, x.d_zT, scratch.state_grad(head, last));
    for (int64_t s = last - 1; s >= 0; --s) {
      add_floats(plan.state_floats, scratch.state_grad(head, s + 1), scratch.state_grad(head, s));
    }
  }
}

}  // namespace

void forward(const Problem& x) noexcept {
  if (x.B * x.T * x.H == 0) return;
  const Plan plan = make_plan(x, false);
  const Scratch scratch(x, plan, false);
  if (plan.segments > 1) states_before_segments(x, plan, scratch);
  run_items(plan.form == Form::kRecurrent ? Pass::kRecurrent : Pass::kForward, x, plan, scratch);
}

void backward(const Problem& x) noexcept {
  if (x.B * x.T * x.H == 0) return;
  const Plan plan = make_plan(x, true);
  const Scratch scratch(x, plan, true);
  if (plan.segments > 1) {
    states_before_segments(x, plan, scratch);
    state_grads_after_segments(x, plan, scratch);
  }
  run_items(Pass::kBackward, x, plan, scratch);
}

}  // namespace rebased::kernels::cpu::attention
#endif
