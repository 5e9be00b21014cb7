#include "engine/engine.h"

#include "base/error.h"
#include "kernels/packed_linear.h"

namespace rebased {

Value Engine::borrow_packed(const kernels::PackedMatrix& /*matrix*/, std::shared_ptr<const void> /*owner*/) {
  throw DeviceError("the {} engine computes with whole weights, and these are packed", name());
}

}  // namespace rebased
