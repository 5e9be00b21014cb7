#include "base/error.h"
#include "cores/dropout/dropout.h"
#include "cores/dropout/kernel.h"

namespace rebased {

using namespace kernels;

const Signature& DropoutCore::signature() const {
  static const Signature signature{
      .name = "dropout",
      .operands = {{.name = "x", .shape = "...", .in_gradient = false}},
      .results = {{.name = "y", .shape = "..."}},
  };
  return signature;
}

void DropoutCore::forward(const CoreCall<float>& call) const {
  cpu::dropout(call["..."], key, p, call.in(0), call.results[0]);
}

void DropoutCore::backward(const CoreGradCall<float>& call) const {
  cpu::dropout(call.forward["..."], key, p, call.d_results[0], call.d_operands[0]);
}

void DropoutCore::forward(const CoreCall<double>& call) const {
  reference::dropout(call["..."], key, p, call.in(0), call.results[0]);
}

void DropoutCore::backward(const CoreGradCall<double>& call) const {
  reference::dropout(call.forward["..."], key, p, call.d_results[0], call.d_operands[0]);
}

Value dropout(const Value& x, double p, uint64_t key) {
  if (!(p >= 0 && p < 1)) throw ShapeError("[dropout] p: expected a value in [0, 1), found {}", p);
  return p == 0 ? x : run_core(std::make_shared<DropoutCore>(p, key), {x}).front();
}

}  // namespace rebased
