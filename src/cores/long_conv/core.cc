#include "base/error.h"
#include "cores/long_conv/kernel.h"
#include "cores/long_conv/long_conv.h"

namespace rebased {
namespace {

using namespace kernels;

template <class Real>
LongConvArgs<Real> args(const CoreCall<Real>& call) {
  return {.B = call["B"],
          .T = call["T"],
          .C = call["C"],
          .L = call["L"],
          .x = call.in(0),
          .filter = call.in(1),
          .y = call.results[0],
          .scratch = call.scratch};
}

template <class Real>
LongConvGradArgs<Real> args(const CoreGradCall<Real>& call) {
  return {.forward = args(call.forward),
          .dy = call.d_results[0],
          .dx = call.d_operands[0],
          .d_filter = call.d_operands[1],
          .scratch = call.scratch};
}

}  // namespace

const Signature& LongConvCore::signature() const {
  static const Signature signature{
      .name = "long_conv",
      .operands = {{.name = "x", .shape = "B T C"}, {.name = "filter", .shape = "C L"}},
      .results = {{.name = "y", .shape = "B T C"}},
  };
  return signature;
}

void LongConvCore::complete(Dims& dims) const {
  if (dims["L"] < dims["T"]) {
    throw ShapeError("[long_conv] {} tokens exceed the filter's {} taps", dims["T"], dims["L"]);
  }
}

int64_t LongConvCore::scratch(const CoreCall<float>& call) const { return cpu::long_conv_scratch(args(call)); }
int64_t LongConvCore::scratch(const CoreGradCall<float>& call) const { return cpu::long_conv_grad_scratch(args(call)); }
void LongConvCore::forward(const CoreCall<float>& call) const { cpu::long_conv(args(call)); }
void LongConvCore::backward(const CoreGradCall<float>& call) const { cpu::long_conv_grad(args(call)); }
void LongConvCore::forward(const CoreCall<double>& call) const { reference::long_conv(args(call)); }
void LongConvCore::backward(const CoreGradCall<double>& call) const { reference::long_conv_grad(args(call)); }

Value long_conv(const Value& x, const Value& filter) {
  return run_core(std::make_shared<LongConvCore>(), {x, filter}).front();
}

}  // namespace rebased
