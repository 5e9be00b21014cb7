#include "base/error.h"
#include "cores/norm/kernel.h"
#include "cores/norm/norm.h"
#include "kernels/dense.h"

namespace rebased {
namespace {

using namespace kernels;

constexpr Signature::Operand kGamma{.name = "gamma", .shape = "C", .optional = true};
constexpr Signature::Operand kBeta{.name = "beta", .shape = "C", .optional = true, .in_gradient = false};
constexpr Signature::Operand kWeight{.name = "weight", .shape = "C", .optional = true};

void check_channels(const char* op, const Dims& dims) {
  if (dims["C"] < 1) throw ShapeError("[{}] channels: expected at least 1, found {}", op, dims["C"]);
}

template <class Real>
const Real* shift_of(const CoreCall<Real>& call, const NormOptions& options, size_t gain) {
  return options.centred ? call.in(gain + 1) : nullptr;
}

void norm(const CoreCall<float>& call, const NormOptions& options, const float* x, size_t gain, float* y) {
  const float* shift = shift_of(call, options, gain);
  if (options.centred) return cpu::layer_norm(call["..."], call["C"], x, call.in(gain), shift, options.eps, y);
  cpu::rms_norm(call["..."], call["C"], x, call.in(gain), options.eps, y);
}

void norm(const CoreCall<double>& call, const NormOptions& options, const double* x, size_t gain, double* y) {
  const double* shift = shift_of(call, options, gain);
  if (options.centred) return reference::layer_norm(call["..."], call["C"], x, call.in(gain), shift, options.eps, y);
  reference::rms_norm(call["..."], call["C"], x, call.in(gain), options.eps, y);
}

// Gradients of the norm of x, whose result is the last one; dx joins that of x's other uses.
template <class Real>
NormGradArgs<Real> args(const CoreGradCall<Real>& call, const NormOptions& options, const Real* x, size_t gain) {
  const bool summed = gain > 1;
  return {.N = call.forward["..."],
          .C = call.forward["C"],
          .x = x,
          .gain = call.forward.in(gain),
          .eps = options.eps,
          .dy = call.d_results[summed ? 1 : 0],
          .other = summed ? call.d_results[0] : nullptr,
          .dx = call.d_operands[0],
          .d_gain = call.d_operands[gain],
          .d_shift = options.centred ? call.d_operands[gain + 1] : nullptr,
          .scratch = call.scratch};
}

void norm_grad(const NormGradArgs<float>& args, bool centred) {
  centred ? cpu::layer_norm_grad(args) : cpu::rms_norm_grad(args);
}

void norm_grad(const NormGradArgs<double>& args, bool centred) {
  centred ? reference::layer_norm_grad(args) : reference::rms_norm_grad(args);
}

void add(const CoreCall<float>& call) {
  cpu::add(call["..."] * call["C"], 1, call.in(0), call.in(1), Broadcast::kSame, call.results[0]);
}

void add(const CoreCall<double>& call) {
  reference::add(call["..."] * call["C"], 1, call.in(0), call.in(1), Broadcast::kSame, call.results[0]);
}

constexpr size_t kNormGain = 1, kSumGain = 2;  // operands behind x, and behind a and b

}  // namespace

const Signature& NormCore::signature() const {
  static const Signature layer{.name = "layer_norm",
                               .folder = "norm",
                               .operands = {{.name = "x", .shape = "... C"}, kGamma, kBeta},
                               .results = {{.name = "y", .shape = "... C"}}};
  static const Signature rms{.name = "rms_norm",
                             .folder = "norm",
                             .operands = {{.name = "x", .shape = "... C"}, kWeight},
                             .results = {{.name = "y", .shape = "... C"}}};
  return options.centred ? layer : rms;
}

void NormCore::complete(Dims& dims) const { check_channels(signature().name, dims); }

int64_t NormCore::scratch(const CoreGradCall<float>& call) const {
  return cpu::norm_grad_scratch(args(call, options, call.forward.in(0), kNormGain));
}

void NormCore::forward(const CoreCall<float>& call) const {
  norm(call, options, call.in(0), kNormGain, call.results[0]);
}

void NormCore::backward(const CoreGradCall<float>& call) const {
  norm_grad(args(call, options, call.forward.in(0), kNormGain), options.centred);
}

void NormCore::forward(const CoreCall<double>& call) const {
  norm(call, options, call.in(0), kNormGain, call.results[0]);
}

void NormCore::backward(const CoreGradCall<double>& call) const {
  norm_grad(args(call, options, call.forward.in(0), kNormGain), options.centred);
}

namespace {

// The gain or the shift of a sum's norm: nothing that the sum alone is used for depends on it.
Signature::Operand of_norm(Signature::Operand operand) {
  operand.reaches = 1;
  return operand;
}

}  // namespace

const Signature& AddNormCore::signature() const {
  static const Signature::Operand a{.name = "a", .shape = "... C", .in_gradient = false};
  static const Signature::Operand b{.name = "b", .shape = "... C", .in_gradient = false, .d_is_that_of = 0};
  static const std::vector<Signature::Result> results{
      {.name = "sum", .shape = "... C", .in_gradient = true, .d_optional = true}, {.name = "norm", .shape = "... C"}};
  static const Signature layer{.name = "add_layer_norm",
                               .folder = "norm",
                               .operands = {a, b, of_norm(kGamma), of_norm(kBeta)},
                               .results = results};
  static const Signature rms{
      .name = "add_rms_norm", .folder = "norm", .operands = {a, b, of_norm(kWeight)}, .results = results};
  return options.centred ? layer : rms;
}

void AddNormCore::complete(Dims& dims) const { check_channels(signature().name, dims); }

int64_t AddNormCore::scratch(const CoreGradCall<float>& call) const {
  return cpu::norm_grad_scratch(args<float>(call, options, call.forward.results[0], kSumGain));
}

void AddNormCore::forward(const CoreCall<float>& call) const {
  add(call);
  norm(call, options, call.results[0], kSumGain, call.results[1]);
}

void AddNormCore::backward(const CoreGradCall<float>& call) const {
  norm_grad(args<float>(call, options, call.forward.results[0], kSumGain), options.centred);
}

void AddNormCore::forward(const CoreCall<double>& call) const {
  add(call);
  norm(call, options, call.results[0], kSumGain, call.results[1]);
}

void AddNormCore::backward(const CoreGradCall<double>& call) const {
  norm_grad(args<double>(call, options, call.forward.results[0], kSumGain), options.centred);
}

namespace {

SumAndNorm sum_and_norm(const NormOptions& options, std::initializer_list<Value> operands) {
  std::vector<Value> results = run_core(std::make_shared<AddNormCore>(options), operands);
  return {std::move(results[0]), std::move(results[1])};
}

}  // namespace

Value layer_norm(const Value& x, const Value& gamma, const Value& beta, double eps) {
  return run_core(std::make_shared<NormCore>(NormOptions{eps, true}), {x, gamma, beta}).front();
}

Value rms_norm(const Value& x, const Value& weight, double eps) {
  return run_core(std::make_shared<NormCore>(NormOptions{eps, false}), {x, weight}).front();
}

SumAndNorm add_layer_norm(const Value& a, const Value& b, const Value& gamma, const Value& beta, double eps) {
  return sum_and_norm({eps, true}, {a, b, gamma, beta});
}

SumAndNorm add_rms_norm(const Value& a, const Value& b, const Value& weight, double eps) {
  return sum_and_norm({eps, false}, {a, b, weight});
}

}  // namespace rebased
