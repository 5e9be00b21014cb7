// The products with weights: projections and the head.

#include <utility>

#include "engine/cpu/cpu_value.h"
#include "engine/cpu/kernels_by_type.h"
#include "engine/tape/recording_engine.h"

namespace rebased {

template <class Real>
Value RecordingEngine<Real>::linear(const Value& x, const Value& w, const Value& bias) {
  return recorded(product(x, w, bias), {x, w, bias}, [&] {
    return [this, x = without_history(x), w = without_history(w)](Slopes& slopes) { give_product(slopes, x, w); };
  });
}

template <class Real>
CrossEntropy RecordingEngine<Real>::cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) {
  std::vector<TapeNode::Edge> inputs = edges({x, e});
  const bool bf16 = products() == Precision::kBF16;
  if (inputs.empty()) return this->head(x, e, labels, nullptr, nullptr, bf16);
  const Value d_x = make(x.shape()), d_e = make(e.shape());
  CrossEntropy result = this->head(x, e, labels, mutable_reals<Real>(d_x), mutable_reals<Real>(d_e), bf16);
  Value* outputs[] = {&result.loss};
  record(std::move(inputs), outputs, [d_x, d_e](Slopes& slopes) {
    const Real factor = *reals<Real>(slopes.of());
    for (const auto& [input, slope] : {std::pair(0, d_x), {1, d_e}}) {
      if (!slopes.wanted(input)) continue;
      const int64_t n = slope.shape().numel();
      if (factor != 1) kernels::by_type::scale_shift(n, reals<Real>(slope), factor, 0, mutable_reals<Real>(slope));
      slopes.give(input, slope);
    }
  });
  return result;
}

template class RecordingEngine<float>;
template class RecordingEngine<double>;

}  // namespace rebased
