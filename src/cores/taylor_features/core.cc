#include "base/error.h"
#include "cores/taylor_features/kernel.h"
#include "cores/taylor_features/taylor_features.h"

namespace rebased {

using namespace kernels;

const Signature& TaylorFeaturesCore::signature() const {
  static const Signature signature{
      .name = "taylor_features",
      .operands = {{.name = "x", .shape = "... D"}},
      .results = {{.name = "y", .shape = "... F"}},
  };
  return signature;
}

void TaylorFeaturesCore::complete(Dims& dims) const {
  const int64_t D = dims["D"];
  dims.set("F", 1 + D + (packed ? D * (D + 1) / 2 : D * D));
}

void TaylorFeaturesCore::forward(const CoreCall<float>& call) const {
  cpu::taylor_features(call["..."], call["D"], packed, call.in(0), call.results[0]);
}

void TaylorFeaturesCore::backward(const CoreGradCall<float>& call) const {
  cpu::taylor_features_grad(call.forward["..."], call.forward["D"], packed, call.forward.in(0), call.d_results[0],
                            call.d_operands[0]);
}

void TaylorFeaturesCore::forward(const CoreCall<double>& call) const {
  reference::taylor_features(call["..."], call["D"], packed, call.in(0), call.results[0]);
}

void TaylorFeaturesCore::backward(const CoreGradCall<double>& call) const {
  reference::taylor_features_grad(call.forward["..."], call.forward["D"], packed, call.forward.in(0), call.d_results[0],
                                  call.d_operands[0]);
}

Value taylor_features(const Value& x, bool packed) {
  return run_core(std::make_shared<TaylorFeaturesCore>(packed), {x}).front();
}

}  // namespace rebased
