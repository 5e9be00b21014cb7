// Gradients of the operations that act on elements or on rows.

#include <utility>

#include "engine/cpu/cpu_value.h"
#include "engine/tape/tape_engine.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"

namespace rebased {
namespace {

namespace cpu = kernels::cpu;

}  // namespace

// The second operand of add and mul may be a row or a column of the first.
Value TapeEngine::columns_of(const Value& dy, const Value& like) {
  if (dy.shape() == like.shape()) return dy;
  if (like.shape() != Shape({channels(dy)})) return CpuEngine::sum_last(dy);
  Value sums = make(like.shape());
  cpu::sum_columns(rows(dy), channels(dy), floats(dy), mutable_floats(sums));
  return sums;
}

Value TapeEngine::add(const Value& a, const Value& b) {
  return recorded(CpuEngine::add(a, b), {a, b}, [&] {
    return [this, like = without_history(b)](Slopes& slopes) {
      if (slopes.wanted(1)) slopes.give(1, columns_of(slopes.of(), like));
      slopes.give(0, std::move(slopes.of()));
    };
  });
}

Value TapeEngine::mul(const Value& a, const Value& b) {
  return recorded(CpuEngine::mul(a, b), {a, b}, [&] {
    return [this, a = without_history(a), b = without_history(b)](Slopes& slopes) {
      if (slopes.wanted(1)) slopes.give(1, columns_of(CpuEngine::mul(slopes.of(), a), b));
      if (slopes.wanted(0)) slopes.give(0, CpuEngine::mul(slopes.of(), b));
    };
  });
}

Value TapeEngine::scale_shift(const Value& x, double scale, double shift) {
  return recorded(CpuEngine::scale_shift(x, scale, shift), {x}, [&] {
    return [this, scale](Slopes& slopes) { slopes.give(0, CpuEngine::scale_shift(slopes.of(), scale, 0)); };
  });
}

Value TapeEngine::unary(UnaryOp op, const Value& x) {
  return recorded(CpuEngine::unary(op, x), {x}, [&] {
    return [this, op, x = without_history(x)](Slopes& slopes) {
      const float* dy = floats(slopes.of());
      const Value dx = in_place_of(slopes.of());
      cpu::unary_grad(op, x.shape().numel(), floats(x), dy, mutable_floats(dx));
      slopes.give(0, dx);
    };
  });
}

Value TapeEngine::sum_last(const Value& x) {
  return recorded(CpuEngine::sum_last(x), {x}, [&] {
    return [this, shape = x.shape()](Slopes& slopes) {
      slopes.give(0, CpuEngine::mul(full(shape, DType::kF32, 1), slopes.of()));
    };
  });
}

}  // namespace rebased
