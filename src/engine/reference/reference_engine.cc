#include "engine/reference/reference_engine.h"

#include "engine/cpu/cpu_value.h"
#include "kernels/dense_grad.h"

namespace rebased {

void ReferenceEngine::give_product(Slopes& slopes, const Value& x, const Value& w) {
  const Value dx = make(x.shape()), dw = make(w.shape()), dbias = make(Shape({w.size(0)}));
  kernels::reference::linear_grad(rows(x), w.size(1), w.size(0), reals<double>(x), reals<double>(w),
                                  reals<double>(slopes.of()), mutable_reals<double>(dx), mutable_reals<double>(dw),
                                  mutable_reals<double>(dbias));
  slopes.give(0, dx);
  slopes.give(1, dw);
  slopes.give(2, dbias);
}

}  // namespace rebased
