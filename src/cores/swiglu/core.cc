#include "base/error.h"
#include "cores/swiglu/kernel.h"
#include "cores/swiglu/swiglu.h"

namespace rebased {

using namespace kernels;

const Signature& SwigluCore::signature() const {
  static const Signature signature{
      .name = "swiglu",
      .operands = {{.name = "x", .shape = "... 2C"}},
      .results = {{.name = "y", .shape = "... C"}},
  };
  return signature;
}

void SwigluCore::complete(Dims& dims) const {
  if (dims["2C"] % 2 != 0) throw ShapeError("[swiglu] x: expected an even last dimension, found {}", dims["2C"]);
  dims.set("C", dims["2C"] / 2);
}

void SwigluCore::forward(const CoreCall<float>& call) const {
  cpu::swiglu(call["..."], call["C"], call.in(0), call.results[0]);
}

void SwigluCore::backward(const CoreGradCall<float>& call) const {
  cpu::swiglu_grad(call.forward["..."], call.forward["C"], call.forward.in(0), call.d_results[0], call.d_operands[0]);
}

void SwigluCore::forward(const CoreCall<double>& call) const {
  reference::swiglu(call["..."], call["C"], call.in(0), call.results[0]);
}

void SwigluCore::backward(const CoreGradCall<double>& call) const {
  reference::swiglu_grad(call.forward["..."], call.forward["C"], call.forward.in(0), call.d_results[0],
                         call.d_operands[0]);
}

Value swiglu(const Value& x) { return run_core(std::make_shared<SwigluCore>(), {x}).front(); }

}  // namespace rebased
