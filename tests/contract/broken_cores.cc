#include "contract/broken_cores.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>
#include <utility>

#include "engine/core.h"

namespace rebased::testing {
namespace {

enum class Fault : uint8_t {
  kNone,
  kKernelDiffers,
  kKernelGradientDiffers,
  kKernelForgetsStateGradient,
  kForgetsLaterTokens,
  kForgetsState,
  kClearsStateFirst,
  kForgetsToAdvance,
  kAdvancesWithoutLastToken,
  kForgetsDecayGradient,
  kCarriesWithoutDecay,
};

// y[t] = w * s[t], s[t] = exp(-g^2) s[t-1] + x[t]^2, from s[-1] = sum or 0. The kernel and the reference are one text.
class FaultyCore : public Core {
 public:
  explicit FaultyCore(Fault fault) : fault_(fault) {}

  const Signature& signature() const override {
    static const Signature signature{
        .name = "running_sum",
        .operands = {{.name = "x", .shape = "B T C"}, {.name = "w", .shape = "C"}, {.name = "g", .shape = "C"}},
        .states = {{.name = "sum", .shape = "B C"}},
        .results = {{.name = "y", .shape = "B T C"}},
    };
    return signature;
  }

  void forward(const CoreCall<float>& call) const override { compute(call); }
  void backward(const CoreGradCall<float>& call) const override { differentiate(call); }
  void forward(const CoreCall<double>& call) const override { compute(call); }
  void backward(const CoreGradCall<double>& call) const override { differentiate(call); }

 private:
  template <class Real>
  bool only_kernel(Fault fault) const {
    return fault_ == fault && std::is_same_v<Real, float>;
  }

  template <class Real>
  void compute(const CoreCall<Real>& call) const {
    const int64_t B = call["B"], T = call["T"], C = call["C"];
    const Real *x = call.in(0), *w = call.in(1), *g = call.in(2);
    if (fault_ == Fault::kClearsStateFirst && call.after[0]) std::fill_n(call.after[0], B * C, Real(0));
    for (int64_t row = 0; row < B * C; ++row) {
      const int64_t b = row / C, c = row % C;
      const Real start = call.before[0] ? call.before[0][row] : 0;
      Real sum = start, last = 0;
      for (int64_t t = 0; t < T; ++t) {
        last = x[(b * T + t) * C + c] * x[(b * T + t) * C + c];
        sum = last + (t == 0 && fault_ == Fault::kCarriesWithoutDecay ? 1 : std::exp(-g[c] * g[c])) * sum;
        call.results[0][(b * T + t) * C + c] =
            w[c] * sum * (only_kernel<Real>(Fault::kKernelDiffers) ? Real(1.001) : 1);
      }
      if (fault_ == Fault::kAdvancesWithoutLastToken) sum -= last;
      if (call.after[0]) call.after[0][row] = fault_ == Fault::kForgetsToAdvance ? start : sum;
    }
  }

  template <class Real>
  void differentiate(const CoreGradCall<Real>& call) const {
    const CoreCall<Real>& of = call.forward;
    const int64_t B = of["B"], T = of["T"], C = of["C"];
    const Real *x = of.in(0), *w = of.in(1), *g = of.in(2), *dy = call.d_results[0];
    Real *dx = call.d_operands[0], *dw = call.d_operands[1], *dg = call.d_operands[2];
    std::fill_n(dw, C, Real(0));
    std::fill_n(dg, C, Real(0));
    for (int64_t row = 0; row < B * C; ++row) {
      const int64_t b = row / C, c = row % C;
      const Real keep = std::exp(-g[c] * g[c]), bend = fault_ == Fault::kForgetsDecayGradient ? 0 : -2 * g[c] * keep;
      const bool ends = call.d_after[0] && !only_kernel<Real>(Fault::kKernelForgetsStateGradient);
      Real later = ends ? call.d_after[0][row] : 0;
      Real sum = of.before[0] && fault_ != Fault::kForgetsState ? of.before[0][row] : 0;
      Real by_keep = 0;  // the sum's slope by `keep`
      for (int64_t t = 0; t < T; ++t) {
        const int64_t i = (b * T + t) * C + c;
        by_keep = sum + keep * by_keep;
        sum = keep * sum + x[i] * x[i];
        dw[c] += dy[i] * sum;
        dg[c] += dy[i] * w[c] * bend * by_keep;
      }
      dg[c] += later * bend * by_keep;
      for (int64_t t = T - 1; t >= 0; --t) {
        const int64_t i = (b * T + t) * C + c;
        const Real slope = w[c] * dy[i] + (fault_ == Fault::kForgetsLaterTokens ? 0 : later);
        dx[i] = 2 * x[i] * slope * (only_kernel<Real>(Fault::kKernelGradientDiffers) ? Real(1.001) : 1);
        later = keep * slope;
      }
      if (call.d_before[0]) call.d_before[0][row] = later;
    }
  }

  Fault fault_;
};

OpRow row_with(Fault fault, const char* name) {
  const auto sizes = [](int64_t B, int64_t T, int64_t C) {
    return std::vector<Shape>{Shape({B, T, C}), Shape({C}), Shape({C}), Shape({B, C})};
  };
  return {.name = name,
          .sizes = {sizes(1, 1, 1), sizes(2, 5, 3), sizes(3, 8, 7)},
          .run =
              [fault](Engine&, std::span<Value> x) {
                Value sum = std::move(x[3]);
                const Value y = run_core(std::make_shared<FaultyCore>(fault), {x[0], x[1], x[2]}, {&sum}).front();
                return std::vector<Value>{y, sum};
              },
          .composed = false,
          .in_time = 1,
          .states = 1};
}

}  // namespace

OpRow sound_core() { return row_with(Fault::kNone, "sound"); }

const std::vector<BrokenCore>& broken_cores() {
  static const std::vector<BrokenCore> all = [] {
    std::vector<BrokenCore> list;
    auto add = [&](Fault fault, const char* name, const char* promise) {
      list.push_back({name, promise, row_with(fault, name)});
    };
    add(Fault::kKernelDiffers, "KernelDiffers", "Engines");
    add(Fault::kKernelGradientDiffers, "KernelGradientDiffers", "Engines");
    add(Fault::kKernelForgetsStateGradient, "KernelForgetsStateGradient", "Engines");
    add(Fault::kForgetsLaterTokens, "ForgetsLaterTokens", "Derivatives");
    add(Fault::kForgetsState, "ForgetsState", "Derivatives");
    add(Fault::kClearsStateFirst, "ClearsStateFirst", "InPlace");
    add(Fault::kForgetsToAdvance, "ForgetsToAdvance", "Law");
    add(Fault::kAdvancesWithoutLastToken, "AdvancesWithoutLastToken", "Law");
    add(Fault::kForgetsDecayGradient, "ForgetsDecayGradient", "Derivatives");
    add(Fault::kCarriesWithoutDecay, "CarriesWithoutDecay", "Law");
    return list;
  }();
  return all;
}

}  // namespace rebased::testing
