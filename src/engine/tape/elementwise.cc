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

Value TapeEngine::swiglu(const Value& x) {
  return recorded(CpuEngine::swiglu(x), {x}, [&] {
    return [this, x = without_history(x)](Slopes& slopes) {
      const Value& dy = slopes.of();
      Value dx = make(x.shape());
      cpu::swiglu_grad(rows(dy), channels(dy), floats(x), floats(dy), mutable_floats(dx));
      slopes.give(0, std::move(dx));
    };
  });
}

Value TapeEngine::softmax(const Value& x) {
  Value y = CpuEngine::softmax(x);
  const Value kept = without_history(y);
  return recorded(std::move(y), {x}, [&] {
    return [this, kept](Slopes& slopes) {
      Value dx = make(kept.shape());
      cpu::softmax_grad(rows(kept), channels(kept), floats(kept), floats(slopes.of()), mutable_floats(dx));
      slopes.give(0, std::move(dx));
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

Value TapeEngine::norm_of(const Value& x, const Value& gain, const Value& shift, const Norm& norm) {
  return norm.centred ? CpuEngine::layer_norm(x, gain, shift, norm.eps) : CpuEngine::rms_norm(x, gain, norm.eps);
}

// Gradients of the norm of x, whose slopes are those of output `dy`, to inputs `first` (x), then gain and shift. Where
// output 0 is x itself, its own slopes join in.
void TapeEngine::give_norm(Slopes& slopes, const Norm& norm, const Value& x, const Value& gain, const Value& shift,
                           int dy, int first) {
  const Value slope = slopes.of(dy), other = dy > 0 ? slopes.of(0) : Value();
  const Value dx = make(x.shape()), d_gain = gain ? make(gain.shape()) : Value(),
              d_shift = shift ? make(shift.shape()) : Value();
  kernels::NormGradArgs<float> args;
  args.N = rows(x);
  args.C = channels(x);
  args.x = floats(x);
  args.gain = floats_or_null(gain);
  args.eps = norm.eps;
  args.dy = floats(slope);
  args.other = floats_or_null(other);
  args.dx = mutable_floats(dx);
  args.d_gain = mutable_floats_or_null(d_gain);
  args.d_shift = mutable_floats_or_null(d_shift);
  const std::shared_ptr<void> work = scratch(cpu::norm_grad_scratch(args));
  args.scratch = static_cast<float*>(work.get());
  norm.centred ? cpu::layer_norm_grad(args) : cpu::rms_norm_grad(args);
  for (int summand = 0; summand < first; ++summand) slopes.give(summand, dx);
  slopes.give(first, dx);
  slopes.give(first + 1, d_gain);
  slopes.give(first + 2, d_shift);
}

Value TapeEngine::layer_norm(const Value& x, const Value& gamma, const Value& beta, double eps) {
  return recorded(CpuEngine::layer_norm(x, gamma, beta, eps), {x, gamma, beta}, [&] {
    return [this, eps, x = without_history(x), gamma = without_history(gamma),
            beta = without_history(beta)](Slopes& slopes) {
      give_norm(slopes, {eps, true}, x, gamma, beta, 0, 0);
    };
  });
}

Value TapeEngine::rms_norm(const Value& x, const Value& weight, double eps) {
  return recorded(CpuEngine::rms_norm(x, weight, eps), {x, weight, {}}, [&] {
    return [this, eps, x = without_history(x), weight = without_history(weight)](Slopes& slopes) {
      give_norm(slopes, {eps, false}, x, weight, {}, 0, 0);
    };
  });
}

SumAndNorm TapeEngine::add_norm(const Value& a, const Value& b, const Value& gain, const Value& shift,
                                const Norm& norm) {
  SumAndNorm result;
  result.sum = CpuEngine::add(a, b);
  result.norm = norm_of(result.sum, gain, shift, norm);
  std::vector<TapeNode::Edge> inputs = edges({a, b, gain, shift});
  if (inputs.empty()) return result;
  Value* outputs[] = {&result.sum, &result.norm};
  record(std::move(inputs), outputs,
         [this, norm, sum = without_history(result.sum), gain = without_history(gain),
          shift = without_history(shift)](Slopes& slopes) {
           if (slopes.of(1)) return give_norm(slopes, norm, sum, gain, shift, 1, 1);
           slopes.give(0, slopes.of(0));
           slopes.give(1, slopes.of(0));
         });
  return result;
}

SumAndNorm TapeEngine::add_layer_norm(const Value& a, const Value& b, const Value& gamma, const Value& beta,
                                      double eps) {
  return add_norm(a, b, gamma, beta, {eps, true});
}

SumAndNorm TapeEngine::add_rms_norm(const Value& a, const Value& b, const Value& weight, double eps) {
  return add_norm(a, b, weight, {}, {eps, false});
}

Value TapeEngine::dropout(const Value& x, double p, uint64_t key) {
  return recorded(CpuEngine::dropout(x, p, key), {x}, [&] {
    return [this, p, key](Slopes& slopes) { slopes.give(0, CpuEngine::dropout(slopes.of(), p, key)); };
  });
}

Value TapeEngine::packed_squares(const Value& x) {
  return recorded(CpuEngine::packed_squares(x), {x}, [&] {
    return [this, x = without_history(x)](Slopes& slopes) {
      Value dx = make(x.shape());
      cpu::packed_squares_grad(rows(x), channels(x), floats(x), floats(slopes.of()), mutable_floats(dx));
      slopes.give(0, std::move(dx));
    };
  });
}

Value TapeEngine::taylor_features(const Value& x, bool packed) {
  return recorded(CpuEngine::taylor_features(x, packed), {x}, [&] {
    return [this, packed, x = without_history(x)](Slopes& slopes) {
      Value dx = make(x.shape());
      cpu::taylor_features_grad(rows(x), channels(x), packed, floats(x), floats(slopes.of()), mutable_floats(dx));
      slopes.give(0, std::move(dx));
    };
  });
}

// A rotation's gradient is the rotation backwards: by the positions' negatives.
Value TapeEngine::rope(const Value& x, const Value& positions, const RopeOptions& options) {
  return recorded(CpuEngine::rope(x, positions, options), {x}, [&] {
    const int64_t* at = ids(positions);
    std::vector<int64_t> back(at, at + positions.shape().numel());
    for (int64_t& position : back) position = -position;
    const Value turned = from_host(back.data(), DType::kI64, positions.shape(), DType::kI64);
    return [this, options, turned](Slopes& slopes) { slopes.give(0, CpuEngine::rope(slopes.of(), turned, options)); };
  });
}

}  // namespace rebased
