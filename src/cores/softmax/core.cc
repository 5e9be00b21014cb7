#include "base/error.h"
#include "cores/softmax/kernel.h"
#include "cores/softmax/softmax.h"

namespace rebased {

using namespace kernels;

const Signature& SoftmaxCore::signature() const {
  static const Signature signature{
      .name = "softmax",
      .operands = {{.name = "x", .shape = "... C", .in_gradient = false}},
      .results = {{.name = "y", .shape = "... C", .in_gradient = true}},
  };
  return signature;
}

void SoftmaxCore::complete(Dims& dims) const {
  if (dims["C"] < 1) throw ShapeError("[softmax] C: expected at least 1, found {}", dims["C"]);
}

void SoftmaxCore::forward(const CoreCall<float>& call) const {
  cpu::softmax(call["..."], call["C"], call.in(0), call.results[0]);
}

void SoftmaxCore::backward(const CoreGradCall<float>& call) const {
  cpu::softmax_grad(call.forward["..."], call.forward["C"], call.forward.results[0], call.d_results[0],
                    call.d_operands[0]);
}

void SoftmaxCore::forward(const CoreCall<double>& call) const {
  reference::softmax(call["..."], call["C"], call.in(0), call.results[0]);
}

void SoftmaxCore::backward(const CoreGradCall<double>& call) const {
  reference::softmax_grad(call.forward["..."], call.forward["C"], call.forward.results[0], call.d_results[0],
                          call.d_operands[0]);
}

Value softmax(const Value& x) { return run_core(std::make_shared<SoftmaxCore>(), {x}).front(); }

}  // namespace rebased
