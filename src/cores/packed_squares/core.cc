#include "base/error.h"
#include "cores/packed_squares/kernel.h"
#include "cores/packed_squares/packed_squares.h"

namespace rebased {

using namespace kernels;

const Signature& PackedSquaresCore::signature() const {
  static const Signature signature{
      .name = "packed_squares",
      .operands = {{.name = "x", .shape = "... D"}},
      .results = {{.name = "y", .shape = "... D(D+1)/2"}},
  };
  return signature;
}

void PackedSquaresCore::complete(Dims& dims) const { dims.set("D(D+1)/2", dims["D"] * (dims["D"] + 1) / 2); }

void PackedSquaresCore::forward(const CoreCall<float>& call) const {
  cpu::packed_squares(call["..."], call["D"], call.in(0), call.results[0]);
}

void PackedSquaresCore::backward(const CoreGradCall<float>& call) const {
  cpu::packed_squares_grad(call.forward["..."], call.forward["D"], call.forward.in(0), call.d_results[0],
                           call.d_operands[0]);
}

void PackedSquaresCore::forward(const CoreCall<double>& call) const {
  reference::packed_squares(call["..."], call["D"], call.in(0), call.results[0]);
}

void PackedSquaresCore::backward(const CoreGradCall<double>& call) const {
  reference::packed_squares_grad(call.forward["..."], call.forward["D"], call.forward.in(0), call.d_results[0],
                                 call.d_operands[0]);
}

Value packed_squares(const Value& x) { return run_core(std::make_shared<PackedSquaresCore>(), {x}).front(); }

}  // namespace rebased
