#include "base/error.h"
#include "cores/short_conv/kernel.h"
#include "cores/short_conv/short_conv.h"

namespace rebased {
namespace {

using namespace kernels;

template <class Real>
ShortConvArgs<Real> args(const CoreCall<Real>& call, bool silu) {
  return {.B = call["B"],
          .T = call["T"],
          .C = call["C"],
          .K = call["K"],
          .x = call.in(0),
          .w = call.in(1),
          .bias = call.in(2),
          .positions = call.ids(3),
          .silu = silu,
          .state0 = call.before[0],
          .y = call.results[0],
          .stateT = call.after[0]};
}

template <class Real>
ShortConvGradArgs<Real> args(const CoreGradCall<Real>& call, bool silu) {
  return {.forward = args(call.forward, silu),
          .dy = call.d_results[0],
          .d_stateT = call.d_after[0],
          .dx = call.d_operands[0],
          .dw = call.d_operands[1],
          .dbias = call.d_operands[2],
          .d_state0 = call.d_before[0],
          .scratch = call.scratch};
}

}  // namespace

const Signature& ShortConvCore::signature() const {
  static const Signature signature{
      .name = "short_conv",
      .operands = {{.name = "x", .shape = "B T C"},
                   {.name = "w", .shape = "C K"},
                   {.name = "bias", .shape = "C", .optional = true},
                   {.name = "positions", .shape = "B T", .optional = true, .ids = true}},
      .states = {{.name = "state", .shape = "B K-1 C"}},
      .results = {{.name = "y", .shape = "B T C"}},
  };
  return signature;
}

void ShortConvCore::complete(Dims& dims) const {
  if (dims["K"] < 1) throw ShapeError("[short_conv] K: expected at least 1, found {}", dims["K"]);
  dims.set("K-1", dims["K"] - 1);
}

int64_t ShortConvCore::scratch(const CoreGradCall<float>& call) const {
  return cpu::short_conv_grad_scratch(args(call, silu));
}
void ShortConvCore::forward(const CoreCall<float>& call) const { cpu::short_conv(args(call, silu)); }
void ShortConvCore::backward(const CoreGradCall<float>& call) const { cpu::short_conv_grad(args(call, silu)); }
void ShortConvCore::forward(const CoreCall<double>& call) const { reference::short_conv(args(call, silu)); }
void ShortConvCore::backward(const CoreGradCall<double>& call) const { reference::short_conv_grad(args(call, silu)); }

Value short_conv(const Value& x, const Value& w, const Value& bias, bool silu, Value* state, const Value& positions) {
  return run_core(std::make_shared<ShortConvCore>(silu), {x, w, bias, positions}, {state}).front();
}

}  // namespace rebased
