// Gradients of the operations that mix tokens.

#include <utility>

#include "engine/cpu/cpu_value.h"
#include "engine/tape/tape_engine.h"
#include "kernels/linear_attention.h"
#include "kernels/long_conv.h"
#include "kernels/quadratic_attention.h"
#include "kernels/short_conv.h"
#include "kernels/softmax_attention.h"

namespace rebased {
namespace {

namespace cpu = kernels::cpu;

}  // namespace

Value TapeEngine::short_conv(const Value& x, const Value& w, const Value& bias, bool silu, Value* state) {
  std::vector<TapeNode::Edge> inputs = edges({x, w, bias, state != nullptr ? *state : Value()});
  if (inputs.empty()) return CpuEngine::short_conv(x, w, bias, silu, state);
  const Value before = state != nullptr ? without_history(*state) : Value();
  Value y = CpuEngine::short_conv(x, w, bias, silu, state);
  const auto backward = [this, silu, x = without_history(x), w = without_history(w), bias = without_history(bias),
                         before](Slopes& slopes) {
    kernels::ShortConvGradArgs<float> args;
    args.forward = short_conv_args(x, w, bias, silu);
    args.forward.state0 = floats_or_null(before);
    const Value dy = slopes.of(0) ? slopes.of(0) : zeros(x.shape());
    const Value d_after = before ? slopes.of(1) : Value();
    const Value dx = make(x.shape()), dw = make(w.shape()), dbias = bias ? make(bias.shape()) : Value(),
                d_before = before ? make(before.shape()) : Value();
    args.dy = floats(dy);
    args.d_stateT = floats_or_null(d_after);
    args.dx = mutable_floats(dx);
    args.dw = mutable_floats(dw);
    args.dbias = mutable_floats_or_null(dbias);
    args.d_state0 = mutable_floats_or_null(d_before);
    const std::shared_ptr<void> work = scratch(cpu::short_conv_grad_scratch(args));
    args.scratch = static_cast<float*>(work.get());
    cpu::short_conv_grad(args);
    slopes.give(0, dx);
    slopes.give(1, dw);
    slopes.give(2, dbias);
    slopes.give(3, d_before);
  };
  std::vector<Value*> outputs{&y};
  if (state != nullptr) outputs.push_back(state);
  record(std::move(inputs), outputs, backward);
  return y;
}

Value TapeEngine::long_conv(const Value& x, const Value& filter) {
  return recorded(CpuEngine::long_conv(x, filter), {x, filter}, [&] {
    return [this, x = without_history(x), filter = without_history(filter)](Slopes& slopes) {
      kernels::LongConvGradArgs<float> args;
      args.forward = {.B = x.size(0), .T = x.size(1), .C = x.size(2), .L = filter.size(1)};
      args.forward.x = floats(x);
      args.forward.filter = floats(filter);
      const Value dx = make(x.shape()), d_filter = make(filter.shape());
      args.dy = floats(slopes.of());
      args.dx = mutable_floats(dx);
      args.d_filter = mutable_floats(d_filter);
      const std::shared_ptr<void> work = scratch(cpu::long_conv_grad_scratch(args));
      args.scratch = static_cast<float*>(work.get());
      cpu::long_conv_grad(args);
      slopes.give(0, dx);
      slopes.give(1, d_filter);
    };
  });
}

struct TapeEngine::Quadratic {
  using Options = QuadraticOptions;
  using GradArgs = kernels::QuadraticAttentionGradArgs<float>;
  static constexpr auto kArgs = &TapeEngine::quadratic_args;
  static constexpr auto kRun = &TapeEngine::run_quadratic;
  static int64_t scratch(const GradArgs& args) { return cpu::quadratic_attention_grad_scratch(args); }
  static void run(const GradArgs& args) { cpu::quadratic_attention_grad(args); }
};

struct TapeEngine::Plain {
  using Options = LinearOptions;
  using GradArgs = kernels::LinearAttentionGradArgs<float>;
  static constexpr auto kArgs = &TapeEngine::linear_args;
  static constexpr auto kRun = &TapeEngine::run_linear;
  static int64_t scratch(const GradArgs& args) { return cpu::linear_attention_grad_scratch(args); }
  static void run(const GradArgs& args) { cpu::linear_attention_grad(args); }
};

// Causal attention in linear time, both similarities: (q, k, v, s, z) -> (o, s, z), the states only when given.
template <class Form>
Value TapeEngine::attend(const Value& q, const Value& k, const Value& v, const typename Form::Options& options,
                         LinearState* state) {
  std::vector<TapeNode::Edge> inputs =
      state != nullptr ? edges({q, k, v, state->s, state->z}) : edges({q, k, v, {}, {}});
  if (inputs.empty()) return (this->*Form::kRun)(q, k, v, options, state, nullptr);
  LinearState before;
  if (state != nullptr) before = {without_history(state->s), without_history(state->z)};
  const Value z = make(q.shape().with(3, 1));
  Value o = (this->*Form::kRun)(q, k, v, options, state, mutable_floats(z));
  const auto backward = [this, options, before, z, q = without_history(q), k = without_history(k),
                         v = without_history(v), o = without_history(o)](Slopes& slopes) {
    typename Form::GradArgs args;
    args.forward = Form::kArgs(q, k, v, options);
    args.forward.s0 = floats_or_null(before.s);
    args.forward.z0 = floats_or_null(before.z);
    args.forward.o = mutable_floats(o);
    args.forward.z = mutable_floats(z);
    const Value d_o = slopes.of(0) ? slopes.of(0) : zeros(o.shape());
    const Value dq = make(q.shape()), dk = make(k.shape()), dv = make(v.shape());
    LinearState d_before;
    if (before.s) {
      d_before = {make(before.s.shape()), make(before.z.shape())};
      args.d_sT = floats_or_null(slopes.of(1));
      args.d_zT = floats_or_null(slopes.of(2));
    }
    args.d_o = floats(d_o);
    args.dq = mutable_floats(dq);
    args.dk = mutable_floats(dk);
    args.dv = mutable_floats(dv);
    args.d_s0 = mutable_floats_or_null(d_before.s);
    args.d_z0 = mutable_floats_or_null(d_before.z);
    const std::shared_ptr<void> work = scratch(Form::scratch(args));
    args.scratch = static_cast<float*>(work.get());
    Form::run(args);
    int input = 0;
    for (const Value& slope : {dq, dk, dv, d_before.s, d_before.z}) slopes.give(input++, slope);
  };
  std::vector<Value*> outputs{&o};
  if (state != nullptr) outputs.insert(outputs.end(), {&state->s, &state->z});
  record(std::move(inputs), outputs, backward);
  return o;
}

Value TapeEngine::quadratic_attention(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                                      LinearState* state) {
  if (q.size(3) > kernels::kMaxKeyDim) return wide_quadratic(q, k, v, options, state);
  return attend<Quadratic>(q, k, v, options, state);
}

Value TapeEngine::linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                                   LinearState* state) {
  return attend<Plain>(q, k, v, options, state);
}

Value TapeEngine::softmax_attention(const Value& q, const Value& k, const Value& v, const AttentionOptions& given) {
  std::vector<TapeNode::Edge> inputs = edges({q, k, v});
  if (inputs.empty()) return CpuEngine::softmax_attention(q, k, v, given);
  const AttentionOptions options = with_positions(q, k, given);
  const Value lse = make(q.shape().with(3, 1));
  Value o = run_softmax(q, k, v, options, mutable_floats(lse));
  Value* outputs[] = {&o};
  record(std::move(inputs), outputs,
         [this, options, lse, q = without_history(q), k = without_history(k), v = without_history(v),
          o = without_history(o)](Slopes& slopes) {
           kernels::SoftmaxAttentionGradArgs<float> args;
           args.forward = softmax_args(q, k, v, options);
           args.forward.o = mutable_floats(o);
           args.forward.lse = mutable_floats(lse);
           const Value dq = make(q.shape()), dk = make(k.shape()), dv = make(v.shape());
           args.d_o = floats(slopes.of());
           args.dq = mutable_floats(dq);
           args.dk = mutable_floats(dk);
           args.dv = mutable_floats(dv);
           const std::shared_ptr<void> work = scratch(cpu::softmax_attention_grad_scratch(args));
           args.scratch = static_cast<float*>(work.get());
           cpu::softmax_attention_grad(args);
           slopes.give(0, dq);
           slopes.give(1, dk);
           slopes.give(2, dv);
         });
  return o;
}

}  // namespace rebased
