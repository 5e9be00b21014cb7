#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "cores/linear_attention/kernel.h"
#include "cores/quadratic_attention/kernel.h"

// One case of quadratic or plain linear attention, its oracle, and the error that float arithmetic explains.
namespace rebased::kernels::testing {

struct Case {
  int64_t B = 1, T = 1, H = 1, Dk = 4, Dv = 4;  // Dk is F of a plain linear attention
  QuadraticKernel kernel = {};                  // unused by a plain linear attention
  double scale = 1, eps = 1e-12;
  bool normalize = true, states = false;
  Form form = Form::kAuto;
  int64_t chunk = 0;
  std::vector<int64_t> queries{};  // [B, N] of a quadratic attention; empty: every token asks

  int64_t query_rows() const { return (queries.empty() ? B * T : static_cast<int64_t>(queries.size())) * H; }

  std::string str() const {
    return "B" + std::to_string(B) + " T" + std::to_string(T) + " H" + std::to_string(H) + " Dk" + std::to_string(Dk) +
           " Dv" + std::to_string(Dv) + " kernel " + std::to_string(kernel.a) + "," + std::to_string(kernel.b) + "," +
           std::to_string(kernel.c) + " scale " + std::to_string(scale) + " eps " + std::to_string(eps) +
           (normalize ? " normalized" : "") + (states ? " states" : "") + " form " +
           std::to_string(static_cast<int>(form)) + " chunk " + std::to_string(chunk) +
           (queries.empty() ? "" : " queries " + std::to_string(queries.size()));
  }
};

using Values = std::vector<double>;

struct Inputs {
  Values q, k, v, s0, z0, d_o, d_sT, d_zT;
};

struct Outputs {
  Values o, z, sT, zT, dq, dk, dv, d_s0, d_z0;

  std::vector<std::pair<const char*, Values Outputs::*>> static fields() {
    return {{"o", &Outputs::o},   {"z", &Outputs::z},       {"sT", &Outputs::sT},
            {"zT", &Outputs::zT}, {"dq", &Outputs::dq},     {"dk", &Outputs::dk},
            {"dv", &Outputs::dv}, {"d_s0", &Outputs::d_s0}, {"d_z0", &Outputs::d_z0}};
  }
};

class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(thread_count()) { set_thread_count(threads); }
  ~ThreadCount() { set_thread_count(before_); }

 private:
  int before_;
};

// The two operations under one set of names.
struct Quadratic {
  template <class Real>
  using Args = QuadraticAttentionArgs<Real>;
  template <class Real>
  using GradArgs = QuadraticAttentionGradArgs<Real>;
  static int64_t features(const Case& c) { return quadratic_feature_count(c.Dk, c.kernel); }
  template <class Real>
  static void set_own(const Case& c, Args<Real>& args) {
    args.Dk = c.Dk;
    args.kernel = c.kernel;
    if (c.queries.empty()) return;
    args.N = static_cast<int64_t>(c.queries.size()) / c.B;
    args.queries = c.queries.data();
  }
  static void reference(const Args<double>& args) { reference::quadratic_attention(args); }
  static void reference_grad(const GradArgs<double>& args) { reference::quadratic_attention_grad(args); }
  static void cpu(const Args<float>& args) { cpu::quadratic_attention(args); }
  static void cpu_grad(const GradArgs<float>& args) { cpu::quadratic_attention_grad(args); }
  static int64_t scratch(const Args<float>& args) { return cpu::quadratic_attention_scratch(args); }
  static int64_t grad_scratch(const GradArgs<float>& args) { return cpu::quadratic_attention_grad_scratch(args); }
};

struct Linear {
  template <class Real>
  using Args = LinearAttentionArgs<Real>;
  template <class Real>
  using GradArgs = LinearAttentionGradArgs<Real>;
  static int64_t features(const Case& c) { return c.Dk; }
  template <class Real>
  static void set_own(const Case& c, Args<Real>& args) {
    args.F = c.Dk;
  }
  static void reference(const Args<double>& args) { reference::linear_attention(args); }
  static void reference_grad(const GradArgs<double>& args) { reference::linear_attention_grad(args); }
  static void cpu(const Args<float>& args) { cpu::linear_attention(args); }
  static void cpu_grad(const GradArgs<float>& args) { cpu::linear_attention_grad(args); }
  static int64_t scratch(const Args<float>& args) { return cpu::linear_attention_scratch(args); }
  static int64_t grad_scratch(const GradArgs<float>& args) { return cpu::linear_attention_grad_scratch(args); }
};

inline Values random_values(int64_t n, Rng& rng) {
  Values values(static_cast<size_t>(n));
  for (double& value : values) value = static_cast<float>(rng.normal());
  return values;
}

inline Values absolute(Values values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

// Values that floats hold exactly. States are sums of monomials, so that a normaliser stays positive where it should.
template <class Op>
Inputs random_inputs(const Case& c, uint64_t seed) {
  Rng rng(seed);
  const int64_t rows = c.B * c.T * c.H, states = c.B * c.H * Op::features(c);
  Inputs in;
  in.q = random_values(c.query_rows() * c.Dk, rng);
  in.k = random_values(rows * c.Dk, rng);
  if (std::is_same_v<Op, Linear> && c.normalize) in.q = absolute(in.q), in.k = absolute(in.k);
  in.v = random_values(rows * c.Dv, rng);
  in.d_o = random_values(c.query_rows() * c.Dv, rng);
  if (!c.states) return in;
  Case before = c;
  before.T = 3, before.states = false;
  const Inputs past = random_inputs<Op>(before, seed + 1);
  in.s0.resize(static_cast<size_t>(states * c.Dv));
  in.z0.resize(static_cast<size_t>(states));
  Values o(past.v.size());
  auto args = make_args<Op, double>(before, past);
  args.o = o.data(), args.sT = in.s0.data(), args.zT = in.z0.data();
  Op::reference(args);
  for (Values* state : {&in.s0, &in.z0}) {
    for (double& value : *state) value = static_cast<float>(value);
  }
  in.d_sT = random_values(states * c.Dv, rng);
  in.d_zT = random_values(states, rng);
  return in;
}

template <class Real>
const Real* data_or_null(const std::vector<Real>& values) {
  return values.empty() ? nullptr : values.data();
}

template <class Op, class Real>
typename Op::template Args<Real> make_args(const Case& c, const Inputs& in) {
  typename Op::template Args<Real> args;
  args.B = c.B, args.T = c.T, args.H = c.H, args.Dv = c.Dv;
  Op::set_own(c, args);
  args.scale = c.scale, args.eps = c.eps, args.normalize = c.normalize;
  args.form = c.form, args.chunk = c.chunk;
  if constexpr (std::is_same_v<Real, double>) {
    args.q = in.q.data(), args.k = in.k.data(), args.v = in.v.data();
    args.s0 = data_or_null(in.s0), args.z0 = data_or_null(in.z0);
  }
  return args;
}

template <class Op>
Outputs sized_outputs(const Case& c) {
  const auto rows = static_cast<size_t>(c.B * c.T * c.H), asked = static_cast<size_t>(c.query_rows()),
             Dk = static_cast<size_t>(c.Dk), Dv = static_cast<size_t>(c.Dv);
  const auto states = static_cast<size_t>(c.states ? c.B * c.H * Op::features(c) : 0);
  auto of = [](size_t n) { return Values(n); };
  return {of(asked * Dv), of(asked),     of(states * Dv), of(states), of(asked * Dk),
          of(rows * Dk),  of(rows * Dv), of(states * Dv), of(states)};
}

template <class Args>
void bind_grad(const Inputs& in, Outputs& out, Args& grad) {
  grad.d_o = in.d_o.data();
  grad.d_sT = data_or_null(in.d_sT), grad.d_zT = data_or_null(in.d_zT);
  grad.dq = out.dq.data(), grad.dk = out.dk.data(), grad.dv = out.dv.data();
  grad.d_s0 = out.d_s0.empty() ? nullptr : out.d_s0.data();
  grad.d_z0 = out.d_z0.empty() ? nullptr : out.d_z0.data();
}

template <class Op>
Outputs run_reference(const Case& c, const Inputs& in) {
  Outputs out = sized_outputs<Op>(c);
  typename Op::template GradArgs<double> grad;
  grad.forward = make_args<Op, double>(c, in);
  grad.forward.o = out.o.data(), grad.forward.z = out.z.data();
  if (c.states) grad.forward.sT = out.sT.data(), grad.forward.zT = out.zT.data();
  Op::reference(grad.forward);
  bind_grad(in, out, grad);
  Op::reference_grad(grad);
  return out;
}

// What float rounding may do to each output. The oracle on absolute values adds up |terms| where the computation adds
// terms, which is the condition of every sum in every form; rounding errors of n terms grow like sqrt(n) epsilon
// (Higham & Mary 2019), times 4 for the spread. Behind the division, errors of z and of num enter as
// (num_bar + |o| z_bar) / |z + eps|; the gradient sees them through u (so g is enlarged by 1 + z_bar / |z + eps|) and
// through o. Rows whose z is all rounding get an infinite bound.
template <class Op>
Outputs error_bounds(const Case& c, const Inputs& in, const Outputs& want) {
  Case magnitude = c;
  magnitude.kernel = {std::abs(c.kernel.a), std::abs(c.kernel.b), std::abs(c.kernel.c)};
  magnitude.normalize = false;
  magnitude.scale = std::abs(c.scale);
  Inputs bars{absolute(in.q),  absolute(in.k),   absolute(in.v),    absolute(in.s0),
              absolute(in.z0), absolute(in.d_o), absolute(in.d_sT), absolute(in.d_zT)};
  Outputs bound = sized_outputs<Op>(c);
  typename Op::template GradArgs<double> grad;
  grad.forward = make_args<Op, double>(magnitude, bars);
  grad.forward.o = bound.o.data(), grad.forward.z = bound.z.data();
  if (c.states) grad.forward.sT = bound.sT.data(), grad.forward.zT = bound.zT.data();
  Op::reference(grad.forward);
  const auto terms = static_cast<double>(c.T + c.Dk + c.Dv + Op::features(c));
  const double rounding = 4 * (4 + std::sqrt(terms)) * std::numeric_limits<float>::epsilon() / 2;
  Values o = bound.o, z = want.z;
  const auto Dv = static_cast<size_t>(c.Dv);
  for (size_t row = 0; c.normalize && row < z.size(); ++row) {
    const double divisor = std::abs(z[row] + c.eps) - rounding * bound.z[row];
    for (size_t e = row * Dv; e < (row + 1) * Dv; ++e) {
      bound.o[e] = divisor <= 0 ? std::numeric_limits<double>::infinity()
                                : (bound.o[e] + std::abs(want.o[e]) * bound.z[row]) / divisor;
      o[e] = -(std::abs(want.o[e]) + bound.o[e]);
      bars.d_o[e] *= 1 + bound.z[row] / std::max(divisor, 0.0);
    }
    z[row] = std::abs(z[row] + c.eps) - c.eps;
  }
  grad.forward.normalize = c.normalize;
  grad.forward.o = o.data(), grad.forward.z = z.data();
  bind_grad(bars, bound, grad);
  Op::reference_grad(grad);
  for (const auto& [name, field] : Outputs::fields()) {
    for (double& value : bound.*field) value *= rounding;
  }
  return bound;
}

inline void expect_within(const Outputs& got, const Outputs& want, const Outputs& bound, const std::string& label) {
  for (const auto& [name, field] : Outputs::fields()) {
    const Values &g = got.*field, &w = want.*field, &b = bound.*field;
    ASSERT_EQ(g.size(), w.size()) << label << " " << name;
    for (size_t i = 0; i < g.size(); ++i) {
      if (std::isinf(b[i]) || std::isnan(b[i])) continue;
      ASSERT_LE(std::abs(g[i] - w[i]), b[i])
          << label << " " << name << "[" << i << "] got " << g[i] << " want " << w[i];
    }
  }
}

// A float array between guard values, off the alignment of vectors; filled with NaN.
class Guarded {
 public:
  explicit Guarded(size_t n, float fill = std::numeric_limits<float>::quiet_NaN()) : cells_(n + 2 * kGuard, kMark) {
    std::fill_n(cells_.begin() + kGuard, n, fill);
  }
  explicit Guarded(const Values& values) : Guarded(values.size()) {
    for (size_t i = 0; i < values.size(); ++i) data()[i] = static_cast<float>(values[i]);
  }
  float* data() { return cells_.size() == 2 * kGuard ? nullptr : cells_.data() + kGuard; }
  bool intact() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (cells_[i] != kMark || cells_[cells_.size() - 1 - i] != kMark) return false;
    }
    return true;
  }
  Values values() const { return Values(cells_.begin() + kGuard, cells_.end() - kGuard); }

 private:
  static constexpr size_t kGuard = 17;
  static constexpr float kMark = 12345.5f;
  std::vector<float> cells_;
};

struct CpuOptions {
  bool in_place = false;  // the final state takes the initial state's place
  float scratch_fill = std::numeric_limits<float>::quiet_NaN();
};

template <class Op>
Outputs run_cpu(const Case& c, const Inputs& in, const CpuOptions& options = {}) {
  Guarded q(in.q), k(in.k), v(in.v), s0(in.s0), z0(in.z0), d_o(in.d_o), d_sT(in.d_sT), d_zT(in.d_zT);
  Guarded s_in_place(in.s0), z_in_place(in.z0);
  const Outputs sizes = sized_outputs<Op>(c);
  Guarded o(sizes.o.size()), z(sizes.z.size()), sT(sizes.sT.size()), zT(sizes.zT.size()), dq(sizes.dq.size()),
      dk(sizes.dk.size()), dv(sizes.dv.size()), d_s0(sizes.d_s0.size()), d_z0(sizes.d_z0.size());
  auto args = make_args<Op, float>(c, in);
  args.q = q.data(), args.k = k.data(), args.v = v.data(), args.o = o.data(), args.z = z.data();
  Guarded& final_s = options.in_place ? s_in_place : sT;
  Guarded& final_z = options.in_place ? z_in_place : zT;
  args.s0 = options.in_place ? final_s.data() : s0.data(), args.z0 = options.in_place ? final_z.data() : z0.data();
  args.sT = final_s.data(), args.zT = final_z.data();
  Guarded scratch(static_cast<size_t>(Op::scratch(args)), options.scratch_fill);
  args.scratch = scratch.data();
  Op::cpu(args);
  typename Op::template GradArgs<float> grad;
  grad.forward = args;
  grad.forward.s0 = s0.data(), grad.forward.z0 = z0.data();
  grad.d_o = d_o.data(), grad.d_sT = d_sT.data(), grad.d_zT = d_zT.data();
  grad.dq = dq.data(), grad.dk = dk.data(), grad.dv = dv.data(), grad.d_s0 = d_s0.data(), grad.d_z0 = d_z0.data();
  Guarded grad_scratch(static_cast<size_t>(Op::grad_scratch(grad)), options.scratch_fill);
  grad.scratch = grad_scratch.data();
  Op::cpu_grad(grad);
  for (const Guarded* array : {&q, &k,  &v,  &s0, &z0, &d_o, &d_sT, &d_zT, &s_in_place, &z_in_place,  &o,
                               &z, &sT, &zT, &dq, &dk, &dv,  &d_s0, &d_z0, &scratch,    &grad_scratch}) {
    EXPECT_TRUE(array->intact()) << c.str();
  }
  return {o.values(),  z.values(),  final_s.values(), final_z.values(), dq.values(),
          dk.values(), dv.values(), d_s0.values(),    d_z0.values()};
}

// Every form of one case against the oracle.
template <class Op>
void check_forms(Case c, uint64_t seed, std::initializer_list<Form> forms, const CpuOptions& options = {}) {
  const Inputs in = random_inputs<Op>(c, seed);
  const Outputs want = run_reference<Op>(c, in), bound = error_bounds<Op>(c, in, want);
  for (Form form : forms) {
    c.form = form;
    expect_within(run_cpu<Op>(c, in, options), want, bound, c.str());
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace rebased::kernels::testing
