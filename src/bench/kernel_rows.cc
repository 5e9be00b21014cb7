#include "bench/kernel_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "bench/floats.h"
#include "bench/scaling.h"
#include "cores/linear_attention/kernel.h"
#include "cores/quadratic_attention/kernel.h"
#include "cores/softmax_attention/kernel.h"

namespace rebased {
namespace {

using kernels::QuadraticKernel;

using Size = AttentionSize;

constexpr int64_t kCheckedTokens = 512;

// --- what the forms cost, a token and head ---

struct Cost {
  double forward, both;
};

// Pairs of tokens: scores 2 Dk, values and normaliser 2 Dv + 3 forward; the gradient repeats the scores and has four
// more products.
Cost pair_cost(const Size& size) {
  const double Dk = static_cast<double>(size.Dk), Dv = static_cast<double>(size.Dv);
  const double pairs = (static_cast<double>(size.T) + 1) / 2;
  const double forward = pairs * (2 * Dk + 2 * Dv + 3);
  return {forward, forward + pairs * (6 * Dk + 4 * Dv + 6)};
}

// State of F features: update and query, each 2 F (Dv + 1), and forming the features; the gradient has five such
// products.
Cost state_cost(const Size& size, int64_t features, double forming) {
  const double F = static_cast<double>(features), Dv = static_cast<double>(size.Dv);
  const double forward = F * (4 * Dv + 4 + forming);
  return {forward, forward + F * (10 * Dv + 10 + 2 * forming)};
}

Cost cheapest(const Size& size, int64_t features, double forming) {
  const Cost pairs = pair_cost(size), state = state_cost(size, features, forming);
  return {std::min(pairs.forward, state.forward), std::min(pairs.both, state.both)};
}

double heads_and_tokens(const Size& size) { return static_cast<double>(size.B * size.H * size.T); }

// --- comparison with the reference ---

// The first `tokens` tokens of head 0 of row 0 of x [B, T, H, D].
std::vector<double> first_head(const Floats& x, const Size& size, int64_t D, int64_t tokens) {
  std::vector<double> head;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t d = 0; d < D; ++d) head.push_back(static_cast<double>(x[static_cast<size_t>(t * size.H * D + d)]));
  }
  return head;
}

double deviation(const std::vector<double>& found, const std::vector<double>& expected) {
  double largest = 0, apart = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    const double difference = std::abs(found[i] - expected[i]);
    if (!(difference <= apart)) apart = difference;  // NaN stays
  }
  return apart / largest;
}

// --- linear-time kernels, quadratic or plain, through one face ---

struct Quadratic {
  template <class Real>
  using Args = kernels::QuadraticAttentionArgs<Real>;
  template <class Real>
  using Grad = kernels::QuadraticAttentionGradArgs<Real>;
  QuadraticKernel kernel;

  template <class Real>
  void set(Args<Real>& args, int64_t Dk) const {
    args.Dk = Dk;
    args.kernel = kernel;
  }
  static int64_t scratch(const Args<float>& args) { return kernels::cpu::quadratic_attention_scratch(args); }
  static int64_t scratch(const Grad<float>& grad) { return kernels::cpu::quadratic_attention_grad_scratch(grad); }
  static void run(const Args<float>& args) { kernels::cpu::quadratic_attention(args); }
  static void run(const Grad<float>& grad) { kernels::cpu::quadratic_attention_grad(grad); }
  static void run(const Args<double>& args) { kernels::reference::quadratic_attention(args); }
  static void run(const Grad<double>& grad) { kernels::reference::quadratic_attention_grad(grad); }
};

struct Linear {
  template <class Real>
  using Args = kernels::LinearAttentionArgs<Real>;
  template <class Real>
  using Grad = kernels::LinearAttentionGradArgs<Real>;

  template <class Real>
  void set(Args<Real>& args, int64_t F) const {
    args.F = F;
  }
  static int64_t scratch(const Args<float>& args) { return kernels::cpu::linear_attention_scratch(args); }
  static int64_t scratch(const Grad<float>& grad) { return kernels::cpu::linear_attention_grad_scratch(grad); }
  static void run(const Args<float>& args) { kernels::cpu::linear_attention(args); }
  static void run(const Grad<float>& grad) { kernels::cpu::linear_attention_grad(grad); }
  static void run(const Args<double>& args) { kernels::reference::linear_attention(args); }
  static void run(const Grad<double>& grad) { kernels::reference::linear_attention_grad(grad); }
};

// What is compared with the reference: the first tokens of one head. The gradient d_o of the tokens behind them is made
// zero, so that nothing there depends on them.
Size shortened(const Size& size, Floats& d_o) {
  Size checked = size;
  checked.B = checked.H = 1, checked.T = std::min(size.T, kCheckedTokens);
  std::fill(d_o.begin() + checked.T * size.H * size.Dv, d_o.begin() + size.T * size.H * size.Dv, 0);
  return checked;
}

// Arrays of a pass, in either precision, and the arguments that point to them.
template <class Kind, class Real, class Array>
struct Pass {
  Array q, k, v, d_o, o, z, dq, dk, dv;
  typename Kind::template Args<Real> args;
  typename Kind::template Grad<Real> grad;

  void connect(const Kind& kind, const Size& size) {
    const auto rows = static_cast<size_t>(size.B * size.T * size.H);
    o.resize(v.size()), z.resize(rows), dq.resize(q.size()), dk.resize(k.size()), dv.resize(v.size());
    args.B = size.B, args.T = size.T, args.H = size.H, args.Dv = size.Dv;
    kind.set(args, size.Dk);
    args.q = q.data(), args.k = k.data(), args.v = v.data(), args.o = o.data(), args.z = z.data();
    args.scale = 1 / std::sqrt(static_cast<double>(size.Dk));
    grad.forward = args;
    grad.d_o = d_o.data(), grad.dq = dq.data(), grad.dk = dk.data(), grad.dv = dv.data();
  }
};

template <class Kind>
class LinearTimeCase {
 public:
  LinearTimeCase(const Kind& kind, const Size& size) : kind_(kind), size_(size) {
    const int64_t rows = size.B * size.T * size.H;
    fast_.q = normal_floats(rows * size.Dk, 4), fast_.k = normal_floats(rows * size.Dk, 5);
    fast_.v = normal_floats(rows * size.Dv, 6), fast_.d_o = normal_floats(rows * size.Dv, 7);
    if constexpr (std::is_same_v<Kind, Linear>) {  // features of a normalised linear attention are positive
      for (Floats* x : {&fast_.q, &fast_.k}) {
        for (float& value : *x) value = std::abs(value);
      }
    }
    fast_.connect(kind, size);
    const auto floats = [&] { return std::max(Kind::scratch(fast_.args), Kind::scratch(fast_.grad)); };
    scratch_.resize(static_cast<size_t>(most_over_threads(floats)));
    fast_.args.scratch = fast_.grad.scratch = scratch_.data();
  }
  void forward() { Kind::run(fast_.args); }
  void backward() { Kind::run(fast_.grad); }

  double error() {
    const Size checked = shortened(size_, fast_.d_o);
    forward();
    backward();
    auto head = [&](const Floats& x, int64_t D) { return first_head(x, size_, D, checked.T); };
    Pass<Kind, double, std::vector<double>> exact;
    exact.q = head(fast_.q, size_.Dk), exact.k = head(fast_.k, size_.Dk);
    exact.v = head(fast_.v, size_.Dv), exact.d_o = head(fast_.d_o, size_.Dv);
    exact.connect(kind_, checked);
    Kind::run(exact.args);
    Kind::run(exact.grad);
    return std::max({deviation(head(fast_.o, size_.Dv), exact.o), deviation(head(fast_.dq, size_.Dk), exact.dq),
                     deviation(head(fast_.dk, size_.Dk), exact.dk), deviation(head(fast_.dv, size_.Dv), exact.dv)});
  }

 private:
  Kind kind_;
  Size size_;
  Pass<Kind, float, Floats> fast_;
  Floats scratch_;
};

template <class Case, class... Arguments>
KernelCase make_case(const Arguments&... arguments) {
  auto held = std::make_shared<Case>(arguments...);
  KernelCase result;
  result.forward = [held] { held->forward(); };
  if constexpr (requires { held->backward(); }) result.backward = [held] { held->backward(); };
  result.error = [held] { return held->error(); };
  return result;
}

std::string size_name(const char* what, const Size& size) {
  return fmt::format("{} B{} H{} T{} d{} v{}", what, size.B, size.H, size.T, size.Dk, size.Dv);
}

KernelRow linear_row(const Size& size) {
  const Cost cost = cheapest(size, size.Dk, 0);
  return {.name = size_name("linear", size),
          .forward_operations = heads_and_tokens(size) * cost.forward,
          .both_operations = heads_and_tokens(size) * cost.both,
          .tolerance = 1e-4,
          .make = [=] { return make_case<LinearTimeCase<Linear>>(Linear{}, size); }};
}

// --- softmax attention ---

class SoftmaxCase {
 public:
  explicit SoftmaxCase(const Size& size) : size_(size) {
    const int64_t rows = size.B * size.T * size.H;
    q_ = normal_floats(rows * size.Dk, 4), k_ = normal_floats(rows * size.Dk, 5), v_ = normal_floats(rows * size.Dv, 6);
    d_o_ = normal_floats(rows * size.Dv, 7);
    o_.resize(v_.size()), lse_.resize(static_cast<size_t>(rows));
    dq_.resize(q_.size()), dk_.resize(k_.size()), dv_.resize(v_.size());
    for (int64_t b = 0; b < size.B; ++b) {
      for (int64_t t = 0; t < size.T; ++t) positions_.push_back(t);
    }
    set(args_, size);
    args_.q = q_.data(), args_.k = k_.data(), args_.v = v_.data(), args_.o = o_.data(), args_.lse = lse_.data();
    grad_.forward = args_;
    grad_.d_o = d_o_.data(), grad_.dq = dq_.data(), grad_.dk = dk_.data(), grad_.dv = dv_.data();
    const auto floats = [&] {
      return std::max(kernels::cpu::softmax_attention_scratch(args_),
                      kernels::cpu::softmax_attention_grad_scratch(grad_));
    };
    scratch_.resize(static_cast<size_t>(most_over_threads(floats)));
    args_.scratch = grad_.scratch = scratch_.data();
  }
  void forward() { kernels::cpu::softmax_attention(args_); }
  void backward() { kernels::cpu::softmax_attention_grad(grad_); }

  double error() {
    const Size checked = shortened(size_, d_o_);
    forward();
    backward();
    auto head = [&](const Floats& x, int64_t D) { return first_head(x, size_, D, checked.T); };
    const std::vector<double> q = head(q_, size_.Dk), k = head(k_, size_.Dk), v = head(v_, size_.Dv),
                              d_o = head(d_o_, size_.Dv);
    std::vector<double> o(v.size()), lse(static_cast<size_t>(checked.T)), dq(q.size()), dk(k.size()), dv(v.size());
    kernels::SoftmaxAttentionGradArgs<double> exact;
    set(exact.forward, checked);
    exact.forward.q = q.data(), exact.forward.k = k.data(), exact.forward.v = v.data();
    exact.forward.o = o.data(), exact.forward.lse = lse.data();
    exact.d_o = d_o.data(), exact.dq = dq.data(), exact.dk = dk.data(), exact.dv = dv.data();
    kernels::reference::softmax_attention(exact.forward);
    kernels::reference::softmax_attention_grad(exact);
    return std::max({deviation(head(o_, size_.Dv), o), deviation(head(dq_, size_.Dk), dq),
                     deviation(head(dk_, size_.Dk), dk), deviation(head(dv_, size_.Dv), dv)});
  }

 private:
  template <class Real>
  void set(kernels::SoftmaxAttentionArgs<Real>& args, const Size& size) const {
    args.B = size.B, args.T = args.S = size.T, args.H = args.Hkv = size.H, args.Dk = size.Dk, args.Dv = size.Dv;
    args.query_pos = args.key_pos = positions_.data();
    args.scale = 1 / std::sqrt(static_cast<double>(size.Dk));
  }

  Size size_;
  Floats q_, k_, v_, d_o_, o_, lse_, dq_, dk_, dv_, scratch_;
  std::vector<int64_t> positions_;
  kernels::SoftmaxAttentionArgs<float> args_;
  kernels::SoftmaxAttentionGradArgs<float> grad_;
};

KernelRow softmax_row(const Size& size) {
  // Scores and values forward; the gradient repeats the scores and has dv, <d_o, v>, dq and dk besides.
  const double pairs = heads_and_tokens(size) * (static_cast<double>(size.T) + 1) / 2;
  const double Dk = static_cast<double>(size.Dk), Dv = static_cast<double>(size.Dv);
  const double forward = pairs * (2 * Dk + 2 * Dv);
  return {.name = size_name("softmax", size),
          .forward_operations = forward,
          .both_operations = forward + pairs * (6 * Dk + 4 * Dv),
          .tolerance = 1e-4,
          .make = [=] { return make_case<SoftmaxCase>(size); }};
}

}  // namespace

KernelRow quadratic_row(const char* what, const QuadraticKernel& kernel, const Size& size) {
  const Cost cost = cheapest(size, kernels::quadratic_feature_count(size.Dk, kernel), 3);
  return {.name = size_name(what, size),
          .forward_operations = heads_and_tokens(size) * cost.forward,
          .both_operations = heads_and_tokens(size) * cost.both,
          .tolerance = 2e-3,  // a query whose similarities nearly cancel divides by a small sum
          .make = [=] { return make_case<LinearTimeCase<Quadratic>>(Quadratic{kernel}, size); }};
}

const std::vector<KernelRow>& kernel_rows() {
  static const std::vector<KernelRow> rows = [] {
    constexpr QuadraticKernel kSquare{.a = 0, .b = 0, .c = 1}, kTaylor{.a = 1, .b = 1, .c = 0.5};
    return std::vector<KernelRow>{
        quadratic_row("rebased", kSquare, {4, 2048, 8, 16, 64}),
        quadratic_row("rebased", kSquare, {4, 512, 8, 16, 64}),
        quadratic_row("rebased", kSquare, {1, 8192, 8, 16, 64}),
        quadratic_row("rebased", kSquare, {4, 2048, 8, 8, 64}),
        quadratic_row("rebased", kSquare, {4, 2048, 8, 32, 64}),
        quadratic_row("rebased", kSquare, {4, 2048, 8, 16, 21}),
        quadratic_row("rebased", kSquare, {128, 48, 12, 16, 2}),
        quadratic_row("rebased", kSquare, {64, 64, 12, 16, 5}),
        quadratic_row("rebased", kSquare, {8, 256, 12, 16, 5}),
        quadratic_row("based", kTaylor, {4, 2048, 8, 16, 64}),
        linear_row({4, 2048, 8, 64, 64}),
        softmax_row({4, 2048, 8, 64, 64}),
    };
  }();
  return rows;
}

}  // namespace rebased
