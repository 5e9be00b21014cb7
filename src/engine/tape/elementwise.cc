// Gradients of the operations that act on elements or on rows.

#include <utility>

#include "engine/cpu/cpu_value.h"
#include "engine/cpu/kernels_by_type.h"
#include "engine/tape/recording_engine.h"

namespace rebased {

// The second operand of add and mul may be a row or a column of the first.
template <class Real>
Value RecordingEngine<Real>::columns_of(const Value& dy, const Value& like) {
  if (dy.shape() == like.shape()) return dy;
  if (like.shape() != Shape({channels(dy)})) return Host::sum_last(dy);
  Value sums = make(like.shape());
  kernels::by_type::sum_columns(rows(dy), channels(dy), reals<Real>(dy), mutable_reals<Real>(sums));
  return sums;
}

template <class Real>
Value RecordingEngine<Real>::add(const Value& a, const Value& b) {
  return recorded(Host::add(a, b), {a, b}, [&] {
    return [this, like = without_history(b)](Slopes& slopes) {
      if (slopes.wanted(1)) slopes.give(1, columns_of(slopes.of(), like));
      slopes.give(0, std::move(slopes.of()));
    };
  });
}

template <class Real>
Value RecordingEngine<Real>::mul(const Value& a, const Value& b) {
  return recorded(Host::mul(a, b), {a, b}, [&] {
    return [this, a = without_history(a), b = without_history(b)](Slopes& slopes) {
      if (slopes.wanted(1)) slopes.give(1, columns_of(Host::mul(slopes.of(), a), b));
      if (slopes.wanted(0)) slopes.give(0, Host::mul(slopes.of(), b));
    };
  });
}

template <class Real>
Value RecordingEngine<Real>::scale_shift(const Value& x, double scale, double shift) {
  return recorded(Host::scale_shift(x, scale, shift), {x}, [&] {
    return [this, scale](Slopes& slopes) { slopes.give(0, Host::scale_shift(slopes.of(), scale, 0)); };
  });
}

template <class Real>
Value RecordingEngine<Real>::unary(UnaryOp op, const Value& x) {
  return recorded(Host::unary(op, x), {x}, [&] {
    return [this, op, x = without_history(x)](Slopes& slopes) {
      const Real* dy = reals<Real>(slopes.of());
      const Value dx = in_place_of(slopes.of());
      kernels::by_type::unary_grad(op, x.shape().numel(), reals<Real>(x), dy, mutable_reals<Real>(dx));
      slopes.give(0, dx);
    };
  });
}

template <class Real>
Value RecordingEngine<Real>::sum_last(const Value& x) {
  return recorded(Host::sum_last(x), {x}, [&] {
    return [this, shape = x.shape()](Slopes& slopes) {
      slopes.give(0, Host::mul(this->full(shape, kReal, 1), slopes.of()));
    };
  });
}

template class RecordingEngine<float>;
template class RecordingEngine<double>;

}  // namespace rebased
