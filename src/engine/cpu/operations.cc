// The vocabulary's arithmetic: each operation is a kernel call on arena memory.

#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "engine/cpu/cpu_engine.h"
#include "engine/cpu/cpu_value.h"
#include "kernels/cross_entropy.h"
#include "kernels/dense.h"

namespace rebased {
namespace {

namespace cpu = kernels::cpu;

kernels::Broadcast broadcast_of(const Value& a, const Value& b) {
  if (a.shape() == b.shape()) return kernels::Broadcast::kSame;
  return b.shape() == Shape({channels(a)}) ? kernels::Broadcast::kRow : kernels::Broadcast::kColumn;
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

Value CpuEngine::sum_last(const Value& x) {
  Value y = make(x.shape().with(-1, 1));
  cpu::sum_rows(rows(x), channels(x), floats(x), mutable_floats(y));
  return y;
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
