#include "engine/engine.h"

#include "base/error.h"
#include "kernels/packed_linear.h"

namespace rebased {

SumAndNorm Engine::add_layer_norm(const Value& a, const Value& b, const Value& gamma, const Value& beta, double eps) {
  const Value sum = add(a, b);
  return {sum, layer_norm(sum, gamma, beta, eps)};
}

SumAndNorm Engine::add_rms_norm(const Value& a, const Value& b, const Value& weight, double eps) {
  const Value sum = add(a, b);
  return {sum, rms_norm(sum, weight, eps)};
}

Value Engine::borrow_packed(const kernels::PackedMatrix& /*matrix*/, std::shared_ptr<const void> /*owner*/) {
  throw DeviceError("the {} engine computes with whole weights, and these are packed", name());
}

}  // namespace rebased
