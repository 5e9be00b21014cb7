#include "kernels/causal/problem.h"

#include <algorithm>

#include "base/threads.h"
#include "kernels/tools/head_group.h"

namespace rebased::kernels::cpu::attention {
namespace {

bool wants_states(const Problem& x, bool backward) {
  if (x.s0 != nullptr || x.z0 != nullptr) return true;
  if (!backward) return x.sT != nullptr || x.zT != nullptr;
  return x.d_sT != nullptr || x.d_zT != nullptr || x.d_s0 != nullptr || x.d_z0 != nullptr;
}

// Elements of a state from which on its loads and stores once a chunk weigh more than pairs inside a long chunk. Half
// chunks gained below it (linear, Dk 8, Dv 21) and took 1.07 of the time at Dk 32 (docs/tuning.md).
constexpr int64_t kLargeState = 8192;

// Plain features come at no cost, whatever the chunk: the shortest has the fewest pairs. 16 instead of 32 tokens took
// 0.91 to 0.93 of the time forward; with other features 1.01 to 1.1.
int64_t chunk_of(const Problem& x) {
  const int64_t own = plain(x) ? kPad : x.F * x.Dv < kLargeState ? kTile / 2 : kTile;
  const int64_t chunk = x.chunk > 0 ? std::min(x.chunk, kMaxChunk) : own;
  return std::min(chunk, x.T);
}

class Carver {
 public:
  explicit Carver(float* base) : base_(base) {}
  float* take(int64_t floats) {
    float* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += padded(floats);
    return at;
  }
  int64_t used() const { return used_; }

 private:
  float* base_;
  int64_t used_ = 0;
};

void carve_backward(const Problem& x, const Plan& plan, Carver& carver, Workspace& w) {
  w.v_t = carver.take(plan.value_ld * plan.ld);
  w.g = carver.take(plan.ld * plan.value_ld);
  w.g_t = carver.take(plan.value_ld * plan.ld);
  w.dz = carver.take(plan.narrow && !plan.states ? 0 : plan.group * x.T);
  w.slopes = carver.take(plan.narrow ? 0 : plan.tile * plan.ld);
  w.dq = carver.take(plan.ld * plan.key_ld);
  w.dk = carver.take(plan.keys * plan.key_ld);
  w.dv = carver.take(plan.keys * plan.value_ld);
  w.o = carver.take(plan.narrow ? plan.ld * plan.value_ld : 0);
  w.keys_t = carver.take(plan.narrow ? plan.key_ld * plan.keys : 0);
  w.values_t = carver.take(plan.narrow ? x.Dv * plan.keys : 0);
  const bool turned = plan.states && plain(x), mapped = plan.states && !plain(x);
  w.dphi = carver.take(mapped ? x.F * plan.ld : 0);
  w.dx_t = carver.take(mapped ? plan.key_ld * plan.ld : 0);
  w.state_t = carver.take(turned ? plan.value_ld * plan.key_ld : 0);
}

// Tokens up to which a second cache holds most of two batch rows. Longer rows: 1.03 to 1.07 of the time at T 512.
constexpr int64_t kStreamedRow = 256;

int64_t group_of(const Problem& x, const Plan& plan) {
  if (plan.form != Form::kChunked || plan.segments > 1) return 1;
  return head_group(x.B, x.H, plan.state_floats, threads_of(x));
}

}  // namespace

int threads_of(const Problem& x) noexcept { return x.threads > 0 ? x.threads : thread_count(); }

Form choose_form(const Problem& x) noexcept {
  if (x.queries != nullptr) return Form::kParallel;
  if (x.form != Form::kAuto) return x.form;
  const bool states = x.s0 != nullptr || x.sT != nullptr;
  if (states) return x.T < 4 ? Form::kRecurrent : Form::kChunked;
  const double pair = 2.0 * static_cast<double>(x.Dk + x.Dv) + 3;
  const int64_t asked = x.Dv <= kNarrow ? x.Dv : padded(x.Dv);  // columns of the state as it is computed: whole vectors
  const double state = static_cast<double>(x.F) * static_cast<double>(2 * asked + 2 * padded(x.Dv) + 7);
  const double parallel = pair * static_cast<double>(x.T + 1) / 2;
  // Measured: chunks reach that much less of the rate of products than pairs (docs/tuning.md).
  const double chunked = 1.25 * (state + pair * static_cast<double>(chunk_of(x) + 1) / 2);
  return parallel <= chunked ? Form::kParallel : Form::kChunked;
}

Plan make_plan(const Problem& x, bool backward) noexcept {
  Plan plan;
  plan.form = choose_form(x);
  if (backward && plan.form == Form::kRecurrent) plan.form = Form::kChunked;
  const bool parallel = plan.form == Form::kParallel;
  plan.tile = parallel ? std::min(kTile, x.T) : plan.form == Form::kRecurrent ? 1 : chunk_of(x);
  plan.ld = padded(plan.tile);
  plan.narrow = x.Dv <= kNarrow;
  plan.keys = padded(parallel ? x.T : plan.tile);
  if (plan.narrow && plan.keys % (2 * kPad) == 0) plan.keys += kPad;  // rows over time spread over a cache's sets
  plan.key_ld = padded(x.Dk);
  plan.apart = !backward && x.Dv % kPad == 0;
  plan.value_ld = plan.apart ? x.Dv : padded(x.Dv + 1);
  plan.value_n = x.Dv % kPad == 0 ? x.Dv : plan.value_ld;
  plan.states = wants_states(x, backward) || (!parallel && x.T > plan.tile);
  plan.num_has_den = !plan.narrow && plan.value_n > x.Dv;
  const int64_t turned = backward && plain(x) ? (x.Dv + 1) * plan.key_ld : 0;
  const int64_t behind = plan.apart ? padded(x.F) : 0;
  plan.state_floats = plan.states ? std::max(x.F * plan.value_ld + behind, turned) : 0;
  if (plan.form == Form::kChunked) {
    const int64_t chunks = (x.T + plan.tile - 1) / plan.tile;
    plan.segments = std::clamp<int64_t>(threads_of(x) / std::max<int64_t>(x.B * x.H, 1), 1, chunks);
  }
  plan.group = group_of(x, plan);
  const bool streamed_pairs = backward && plan.narrow && x.T <= kStreamedRow;
  plan.streamed = parallel ? streamed_pairs : plan.group > 1;
  Workspace unused;
  plan.workspace = carve(x, plan, backward, nullptr, unused);
  return plan;
}

int64_t carve(const Problem& x, const Plan& plan, bool backward, float* base, Workspace& w) noexcept {
  Carver carver(base);
  w = {};
  if (plan.form == Form::kRecurrent) {
    w.phi = carver.take(2 * x.F);
    w.state = carver.take(x.F * (x.Dv + 1));
    return carver.used();
  }
  w.q = carver.take(plan.ld * plan.key_ld);
  w.q_t = carver.take(plan.key_ld * plan.ld);
  w.tokens = carver.take(plan.ld);
  w.k = carver.take(plan.keys * plan.key_ld);
  w.v = carver.take(plan.keys * plan.value_ld);
  w.scores = carver.take(plan.tile * plan.ld);
  w.num = carver.take(plan.ld * plan.value_ld);
  w.den = carver.take(plan.ld);
  w.k_t = carver.take(plan.states ? plan.key_ld * plan.ld : 0);
  w.phi = carver.take(plan.states ? x.F * plan.ld : 0);
  w.state = carver.take(plan.group * plan.state_floats);
  if (backward) carve_backward(x, plan, carver, w);
  return carver.used();
}

int64_t scratch_floats(const Problem& x, bool backward) noexcept {
  const Plan plan = make_plan(x, backward);
  const int64_t shared = plan.segments > 1 ? x.B * x.H * plan.segments * plan.state_floats * (backward ? 2 : 1) : 0;
  return kPad + shared + threads_of(x) * plan.workspace;
}

}  // namespace rebased::kernels::cpu::attention
