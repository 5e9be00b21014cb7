// The vocabulary's arithmetic: each operation is a kernel call on arena memory.

#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/cpu/cpu_value.h"
#include "engine/cpu/host_engine.h"
#include "engine/cpu/kernels_by_type.h"

namespace rebased {
namespace {

namespace by_type = kernels::by_type;

kernels::Broadcast broadcast_of(const Value& a, const Value& b) {
  if (a.shape() == b.shape()) return kernels::Broadcast::kSame;
  return b.shape() == Shape({channels(a)}) ? kernels::Broadcast::kRow : kernels::Broadcast::kColumn;
}

}  // namespace

template <class Real>
Value HostEngine<Real>::make_embedded(const Value& id_values, const Value& table) {
  const int64_t count = id_values.shape().numel(), vocabulary = table.size(0);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t id = ids(id_values)[i];
    if (id < 0 || id >= vocabulary)
      throw ShapeError("[embedding] id {} is outside the vocabulary of {}", id, vocabulary);
  }
  std::vector<int64_t> dims(id_values.shape().begin(), id_values.shape().end());
  dims.push_back(table.size(1));
  return make(Shape(dims));
}

template <class Real>
Value HostEngine<Real>::embedding(const Value& id_values, const Value& table) {
  Value y = make_embedded(id_values, table);
  by_type::embedding(id_values.shape().numel(), table.size(1), ids(id_values), reals<Real>(table),
                     mutable_reals<Real>(y));
  return y;
}

template <class Real>
Value HostEngine<Real>::linear(const Value& x, const Value& w, const Value& bias) {
  Value y = make(x.shape().with(-1, w.size(0)));
  const std::shared_ptr<void> work = scratch(by_type::linear_scratch<Real>(rows(x), w.size(1)));
  by_type::linear(rows(x), w.size(1), w.size(0), reals<Real>(x), reals<Real>(w), reals_or_null<Real>(bias),
                  mutable_reals<Real>(y), static_cast<Real*>(work.get()));
  return y;
}

template <class Real>
Value HostEngine<Real>::add(const Value& a, const Value& b) {
  Value y = make(a.shape());
  by_type::add(rows(a), channels(a), reals<Real>(a), reals<Real>(b), broadcast_of(a, b), mutable_reals<Real>(y));
  return y;
}

template <class Real>
Value HostEngine<Real>::mul(const Value& a, const Value& b) {
  Value y = make(a.shape());
  by_type::mul(rows(a), channels(a), reals<Real>(a), reals<Real>(b), broadcast_of(a, b), mutable_reals<Real>(y));
  return y;
}

template <class Real>
Value HostEngine<Real>::scale_shift(const Value& x, double scale, double shift) {
  Value y = make(x.shape());
  by_type::scale_shift(x.shape().numel(), reals<Real>(x), scale, shift, mutable_reals<Real>(y));
  return y;
}

template <class Real>
Value HostEngine<Real>::unary(UnaryOp op, const Value& x) {
  Value y = make(x.shape());
  by_type::unary(op, x.shape().numel(), reals<Real>(x), mutable_reals<Real>(y));
  return y;
}

template <class Real>
Value HostEngine<Real>::sum_last(const Value& x) {
  Value y = make(x.shape().with(-1, 1));
  by_type::sum_rows(rows(x), channels(x), reals<Real>(x), mutable_reals<Real>(y));
  return y;
}

template <class Real>
CrossEntropy HostEngine<Real>::head(const Value& x, const Value& e, std::span<const int64_t> labels, Real* d_x,
                                    Real* d_e, bool bf16) {
  CrossEntropy result;
  result.best.resize(labels.size());
  std::vector<Real> nll(labels.size());
  kernels::CrossEntropyArgs<Real> args{.N = x.size(0), .C = x.size(1), .V = e.size(0)};
  args.x = reals<Real>(x);
  args.e = reals<Real>(e);
  args.labels = labels.data();
  args.nll = nll.data();
  args.best = result.best.data();
  args.bf16 = bf16;
  args.grad_scale = 1.0 / static_cast<double>(labels.size());
  args.d_x = d_x;
  args.d_e = d_e;
  const std::shared_ptr<void> work = scratch(by_type::cross_entropy_scratch(args));
  args.scratch = static_cast<Real*>(work.get());
  by_type::cross_entropy(args);
  double total = 0;
  for (Real one : nll) total += one;
  result.nll.assign(nll.begin(), nll.end());
  result.loss = full(Shape{}, kReal, total / static_cast<double>(labels.size()));
  return result;
}

template <class Real>
CrossEntropy HostEngine<Real>::cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) {
  return head(x, e, labels, nullptr, nullptr, false);
}

template class HostEngine<float>;
template class HostEngine<double>;

}  // namespace rebased
