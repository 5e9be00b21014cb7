// The vocabulary's arithmetic: each operation is a kernel call on arena memory.

#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "engine/cpu/cpu_engine.h"
#include "engine/cpu/cpu_value.h"
#include "kernels/cross_entropy.h"
#include "kernels/dense.h"
#include "kernels/linear_attention.h"
#include "kernels/long_conv.h"
#include "kernels/quadratic_attention.h"
#include "kernels/short_conv.h"
#include "kernels/softmax_attention.h"

namespace rebased {
namespace {

namespace cpu = kernels::cpu;

kernels::Broadcast broadcast_of(const Value& a, const Value& b) {
  if (a.shape() == b.shape()) return kernels::Broadcast::kSame;
  return b.shape() == Shape({channels(a)}) ? kernels::Broadcast::kRow : kernels::Broadcast::kColumn;
}

// A state array that may be advanced where it lies: its own memory when nobody else holds it, else a fresh array.
Value advance_target(Engine& engine, const Value& state) {
  if (state.unique() && state.as<CpuValue>().exclusive()) return state;
  return engine.full(state.shape(), state.dtype(), 0);
}

}  // namespace

Value CpuEngine::embedding(const Value& id_values, const Value& table) {
  const int64_t count = id_values.shape().numel(), vocabulary = table.size(0), C = table.size(1);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t id = ids(id_values)[i];
    if (id < 0 || id >= vocabulary)
      throw ShapeError("[embedding] id {} is outside the vocabulary of {}", id, vocabulary);
  }
  std::vector<int64_t> dims(id_values.shape().begin(), id_values.shape().end());
  dims.push_back(C);
  Value y = make(Shape(dims));
  if (const kernels::PackedMatrix* rows_of = packed(table)) {
    for (int64_t i = 0; i < count; ++i) cpu::unpack_rows(*rows_of, ids(id_values)[i], 1, mutable_floats(y) + i * C);
    return y;
  }
  cpu::embedding(count, C, ids(id_values), floats(table), mutable_floats(y));
  return y;
}

Value CpuEngine::linear(const Value& x, const Value& w, const Value& bias) {
  Value y = make(x.shape().with(-1, w.size(0)));
  if (const kernels::PackedMatrix* matrix = packed(w)) {
    const std::shared_ptr<void> work = scratch(cpu::packed_linear_scratch(rows(x), *matrix));
    cpu::packed_linear(rows(x), floats(x), *matrix, floats_or_null(bias), mutable_floats(y),
                       static_cast<float*>(work.get()));
    return y;
  }
  const std::shared_ptr<void> work = scratch(cpu::linear_scratch(rows(x), w.size(1)));
  cpu::linear(rows(x), w.size(1), w.size(0), floats(x), floats(w), floats_or_null(bias), mutable_floats(y),
              static_cast<float*>(work.get()));
  return y;
}

Value CpuEngine::add(const Value& a, const Value& b) {
  Value y = make(a.shape());
  cpu::add(rows(a), channels(a), floats(a), floats(b), broadcast_of(a, b), mutable_floats(y));
  return y;
}

Value CpuEngine::mul(const Value& a, const Value& b) {
  Value y = make(a.shape());
  cpu::mul(rows(a), channels(a), floats(a), floats(b), broadcast_of(a, b), mutable_floats(y));
  return y;
}

Value CpuEngine::scale_shift(const Value& x, double scale, double shift) {
  Value y = make(x.shape());
  cpu::scale_shift(x.shape().numel(), floats(x), scale, shift, mutable_floats(y));
  return y;
}

Value CpuEngine::unary(UnaryOp op, const Value& x) {
  Value y = make(x.shape());
  cpu::unary(op, x.shape().numel(), floats(x), mutable_floats(y));
  return y;
}

Value CpuEngine::swiglu(const Value& x) {
  Value y = make(x.shape().with(-1, channels(x) / 2));
  cpu::swiglu(rows(x), channels(y), floats(x), mutable_floats(y));
  return y;
}

Value CpuEngine::softmax(const Value& x) {
  Value y = make(x.shape());
  cpu::softmax(rows(x), channels(x), floats(x), mutable_floats(y));
  return y;
}

Value CpuEngine::sum_last(const Value& x) {
  Value y = make(x.shape().with(-1, 1));
  cpu::sum_rows(rows(x), channels(x), floats(x), mutable_floats(y));
  return y;
}

Value CpuEngine::layer_norm(const Value& x, const Value& gamma, const Value& beta, double eps) {
  Value y = make(x.shape());
  cpu::layer_norm(rows(x), channels(x), floats(x), floats_or_null(gamma), floats_or_null(beta), eps, mutable_floats(y));
  return y;
}

Value CpuEngine::rms_norm(const Value& x, const Value& weight, double eps) {
  Value y = make(x.shape());
  cpu::rms_norm(rows(x), channels(x), floats(x), floats_or_null(weight), eps, mutable_floats(y));
  return y;
}

Value CpuEngine::dropout(const Value& x, double p, uint64_t key) {
  Value y = make(x.shape());
  cpu::dropout(x.shape().numel(), key, p, floats(x), mutable_floats(y));
  return y;
}

Value CpuEngine::rope(const Value& x, const Value& positions, const RopeOptions& options) {
  Value y = make(x.shape());
  cpu::rope(x.size(0), x.size(1), x.size(2), x.size(3), options.rotary, options.base, ids(positions), floats(x),
            mutable_floats(y));
  return y;
}

Value CpuEngine::packed_squares(const Value& x) {
  const int64_t D = channels(x);
  Value y = make(x.shape().with(-1, D * (D + 1) / 2));
  cpu::packed_squares(rows(x), D, floats(x), mutable_floats(y));
  return y;
}

Value CpuEngine::taylor_features(const Value& x, bool packed) {
  const int64_t D = channels(x);
  Value y = make(x.shape().with(-1, 1 + D + (packed ? D * (D + 1) / 2 : D * D)));
  cpu::taylor_features(rows(x), D, packed, floats(x), mutable_floats(y));
  return y;
}

kernels::ShortConvArgs<float> CpuEngine::short_conv_args(const Value& x, const Value& w, const Value& bias, bool silu) {
  return {.B = x.size(0),
          .T = x.size(1),
          .C = x.size(2),
          .K = w.size(1),
          .x = floats(x),
          .w = floats(w),
          .bias = floats_or_null(bias),
          .silu = silu};
}

Value CpuEngine::short_conv(const Value& x, const Value& w, const Value& bias, bool silu, Value* state) {
  Value y = make(x.shape());
  kernels::ShortConvArgs<float> args = short_conv_args(x, w, bias, silu);
  args.y = mutable_floats(y);
  if (state == nullptr) {
    cpu::short_conv(args);
    return y;
  }
  args.state0 = floats(*state);
  Value advanced = advance_target(*this, *state);
  args.stateT = mutable_floats(advanced);
  cpu::short_conv(args);
  *state = std::move(advanced);
  return y;
}

Value CpuEngine::long_conv(const Value& x, const Value& filter) {
  Value y = make(x.shape());
  kernels::LongConvArgs<float> args{.B = x.size(0), .T = x.size(1), .C = x.size(2), .L = filter.size(1)};
  args.x = floats(x);
  args.filter = floats(filter);
  args.y = mutable_floats(y);
  const std::shared_ptr<void> work = scratch(cpu::long_conv_scratch(args));
  args.scratch = static_cast<float*>(work.get());
  cpu::long_conv(args);
  return y;
}

namespace {

// Both linear mixers carry their state alike: Args has s0, z0, sT, zT.
template <class Args, class Run>
void run_with_state(Engine& engine, Args& args, LinearState* state, const Run& run) {
  if (state == nullptr) return run();
  args.s0 = floats(state->s);
  args.z0 = floats(state->z);
  LinearState advanced{advance_target(engine, state->s), advance_target(engine, state->z)};
  args.sT = mutable_floats(advanced.s);
  args.zT = mutable_floats(advanced.z);
  run();
  *state = std::move(advanced);
}

template <class Args, class Options>
void fill_common(Args& args, const Value& q, const Value& k, const Value& v, const Options& options) {
  args.q = floats(q);
  args.k = floats(k);
  args.v = floats(v);
  args.scale = options.scale;
  args.eps = options.eps;
  args.normalize = options.normalize;
  args.form = options.form;
  args.chunk = options.chunk;
}

}  // namespace

kernels::QuadraticAttentionArgs<float> CpuEngine::quadratic_args(const Value& q, const Value& k, const Value& v,
                                                                 const QuadraticOptions& options) {
  kernels::QuadraticAttentionArgs<float> args{
      .B = q.size(0), .T = k.size(1), .H = q.size(2), .Dk = q.size(3), .Dv = v.size(3), .kernel = options.kernel};
  if (!options.queries.empty()) args.N = q.size(1), args.queries = options.queries.data();
  fill_common(args, q, k, v, options);
  return args;
}

kernels::LinearAttentionArgs<float> CpuEngine::linear_args(const Value& q, const Value& k, const Value& v,
                                                           const LinearOptions& options) {
  kernels::LinearAttentionArgs<float> args{
      .B = q.size(0), .T = q.size(1), .H = q.size(2), .F = q.size(3), .Dv = v.size(3)};
  fill_common(args, q, k, v, options);
  return args;
}

Value CpuEngine::run_quadratic(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                               LinearState* state, float* z) {
  Value o = make(q.shape().with(3, v.size(3)));
  kernels::QuadraticAttentionArgs<float> args = quadratic_args(q, k, v, options);
  args.o = mutable_floats(o);
  args.z = z;
  run_with_state(*this, args, state, [&] {
    const std::shared_ptr<void> work = scratch(cpu::quadratic_attention_scratch(args));
    args.scratch = static_cast<float*>(work.get());
    cpu::quadratic_attention(args);
  });
  return o;
}

Value CpuEngine::run_linear(const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                            LinearState* state, float* z) {
  Value o = make(v.shape());
  kernels::LinearAttentionArgs<float> args = linear_args(q, k, v, options);
  args.o = mutable_floats(o);
  args.z = z;
  run_with_state(*this, args, state, [&] {
    const std::shared_ptr<void> work = scratch(cpu::linear_attention_scratch(args));
    args.scratch = static_cast<float*>(work.get());
    cpu::linear_attention(args);
  });
  return o;
}

// The similarity's features, [a | b x | c packed squares of x]: quadratic_attention.h.
Value CpuEngine::monomials(const Value& x, double a, double b, double c, const QuadraticKernel& kernel) {
  std::vector<Value> parts;
  if (kernel.a != 0) parts.push_back(full(x.shape().with(3, 1), DType::kF32, a));
  if (kernel.b != 0) parts.push_back(scale_shift(x, b, 0));
  if (kernel.c != 0) parts.push_back(scale_shift(packed_squares(x), c, 0));
  return concat(parts, 3);
}

// Keys that are wider than the kernel takes go by their features.
Value CpuEngine::wide_quadratic(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                                LinearState* state) {
  if (!options.queries.empty()) {
    throw DeviceError("[quadratic_attention] queries of some tokens: keys of at most {} channels, found {}",
                      +kernels::kMaxKeyDim, q.size(3));
  }
  const QuadraticKernel& kernel = options.kernel;
  const double scale = options.scale;
  return linear_attention(
      monomials(q, kernel.a, kernel.b * scale, kernel.c * scale * scale, kernel), monomials(k, 1, 1, 1, kernel), v,
      {.scale = 1, .eps = options.eps, .normalize = options.normalize, .form = options.form, .chunk = options.chunk},
      state);
}

Value CpuEngine::quadratic_attention(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                                     LinearState* state) {
  if (q.size(3) > kernels::kMaxKeyDim) return wide_quadratic(q, k, v, options, state);
  return run_quadratic(q, k, v, options, state, nullptr);
}

Value CpuEngine::linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                                  LinearState* state) {
  return run_linear(q, k, v, options, state, nullptr);
}

namespace {

// Positions first .. first+n-1 in every row: [B, n].
Value counting(Engine& engine, int64_t B, int64_t n, int64_t first) {
  std::vector<int64_t> positions;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < n; ++i) positions.push_back(first + i);
  }
  return engine.from_host(positions.data(), DType::kI64, Shape({B, n}), DType::kI64);
}

}  // namespace

kernels::SoftmaxAttentionArgs<float> CpuEngine::softmax_args(const Value& q, const Value& k, const Value& v,
                                                             const AttentionOptions& options) {
  kernels::SoftmaxAttentionArgs<float> args{.B = q.size(0),
                                            .T = q.size(1),
                                            .S = k.size(1),
                                            .H = q.size(2),
                                            .Hkv = k.size(2),
                                            .Dk = q.size(3),
                                            .Dv = v.size(3)};
  args.q = floats(q);
  args.k = floats(k);
  args.v = floats(v);
  args.query_pos = ids(options.query_pos);
  args.key_pos = ids(options.key_pos);
  args.scale = options.scale;
  args.window = options.window;
  args.additive_mask = options.additive_mask;
  args.dropout = options.dropout;
  args.dropout_key = options.dropout_key;
  return args;
}

AttentionOptions CpuEngine::with_positions(const Value& q, const Value& k, const AttentionOptions& options) {
  AttentionOptions placed = options;
  const int64_t B = q.size(0), T = q.size(1), S = k.size(1);
  if (!placed.query_pos) placed.query_pos = counting(*this, B, T, S - T);
  if (!placed.key_pos) placed.key_pos = counting(*this, B, S, 0);
  return placed;
}

Value CpuEngine::run_softmax(const Value& q, const Value& k, const Value& v, const AttentionOptions& options,
                             float* lse) {
  Value o = make(q.shape().with(3, v.size(3)));
  kernels::SoftmaxAttentionArgs<float> args = softmax_args(q, k, v, options);
  args.o = mutable_floats(o);
  args.lse = lse;
  const std::shared_ptr<void> work = scratch(cpu::softmax_attention_scratch(args));
  args.scratch = static_cast<float*>(work.get());
  cpu::softmax_attention(args);
  return o;
}

Value CpuEngine::softmax_attention(const Value& q, const Value& k, const Value& v, const AttentionOptions& options) {
  return run_softmax(q, k, v, with_positions(q, k, options), nullptr);
}

// For an evaluation, which is bound by products and not by reading weights: the matrix as it is computed with.
Value CpuEngine::unpacked(const Value& x) {
  const kernels::PackedMatrix* matrix = packed(x);
  if (matrix == nullptr) return x;
  Value y = make(x.shape());
  parallel_for(matrix->O, 64, [&](int64_t begin, int64_t end) {
    cpu::unpack_rows(*matrix, begin, end - begin, mutable_floats(y) + begin * matrix->I);
  });
  return y;
}

CrossEntropy CpuEngine::head(const Value& x, const Value& e, std::span<const int64_t> labels, float* d_x, float* d_e,
                             bool bf16) {
  CrossEntropy result;
  result.nll.resize(labels.size());
  result.best.resize(labels.size());
  kernels::CrossEntropyArgs<float> args{.N = x.size(0), .C = x.size(1), .V = e.size(0)};
  args.x = floats(x);
  args.e = floats(e);
  args.labels = labels.data();
  args.nll = result.nll.data();
  args.best = result.best.data();
  args.bf16 = bf16;
  args.grad_scale = 1.0 / static_cast<double>(labels.size());
  args.d_x = d_x;
  args.d_e = d_e;
  const std::shared_ptr<void> work = scratch(cpu::cross_entropy_scratch(args));
  args.scratch = static_cast<float*>(work.get());
  cpu::cross_entropy(args);
  double total = 0;
  for (float nll : result.nll) total += nll;
  result.loss = full(Shape{}, DType::kF32, total / static_cast<double>(labels.size()));
  return result;
}

CrossEntropy CpuEngine::cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) {
  return head(x, unpacked(e), labels, nullptr, nullptr, false);
}

}  // namespace rebased
