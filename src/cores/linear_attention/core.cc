#include "base/error.h"
#include "cores/linear_attention/binding.h"
#include "cores/linear_attention/kernel.h"
#include "cores/linear_attention/linear_attention.h"

namespace rebased {
namespace {

using namespace kernels;

template <class Real>
LinearAttentionArgs<Real> args(const CoreCall<Real>& call, const LinearOptions& options) {
  auto args = sums_args<LinearAttentionArgs<Real>>(call, options);
  args.F = call["F"];
  return args;
}

template <class Real>
LinearAttentionGradArgs<Real> args(const CoreGradCall<Real>& call, const LinearOptions& options) {
  return sums_grad_args<LinearAttentionGradArgs<Real>>(call, args(call.forward, options));
}

}  // namespace

const Signature& LinearAttentionCore::signature() const {
  static const Signature signature{
      .name = "linear_attention",
      .operands = {{.name = "q", .shape = "B T H F"},
                   {.name = "k", .shape = "B T H F"},
                   {.name = "v", .shape = "B T H Dv"},
                   {.name = "positions", .shape = "B T", .optional = true, .ids = true}},
      .states = {{.name = "state.s", .shape = "B H F Dv"}, {.name = "state.z", .shape = "B H F"}},
      .results = {{.name = "o", .shape = "B T H Dv", .in_gradient = true}},
      .kept = {{.name = "z", .shape = "B T H"}},
  };
  return signature;
}

void LinearAttentionCore::complete(Dims& dims) const {
  if (dims["F"] < 1) throw ShapeError("[linear_attention] F: expected at least 1, found {}", dims["F"]);
}

int64_t LinearAttentionCore::scratch(const CoreCall<float>& call) const {
  return cpu::linear_attention_scratch(args(call, options));
}
int64_t LinearAttentionCore::scratch(const CoreGradCall<float>& call) const {
  return cpu::linear_attention_grad_scratch(args(call, options));
}
void LinearAttentionCore::forward(const CoreCall<float>& call) const { cpu::linear_attention(args(call, options)); }
void LinearAttentionCore::backward(const CoreGradCall<float>& call) const {
  cpu::linear_attention_grad(args(call, options));
}
void LinearAttentionCore::forward(const CoreCall<double>& call) const {
  reference::linear_attention(args(call, options));
}
void LinearAttentionCore::backward(const CoreGradCall<double>& call) const {
  reference::linear_attention_grad(args(call, options));
}

Value linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options, LinearState* state,
                       const Value& positions) {
  const auto core = std::make_shared<LinearAttentionCore>(options);
  if (state == nullptr) return run_core(core, {q, k, v, positions}).front();
  return run_core(core, {q, k, v, positions}, {&state->s, &state->z}).front();
}

}  // namespace rebased
