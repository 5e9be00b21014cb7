#pragma once

#include <memory>
#include <utility>

#include "engine/value.h"
#include "kernels/packed_linear.h"

namespace rebased {

struct TapeNode;

// The operation that a value is a result of, where engine/tape records it.
struct History {
  std::shared_ptr<TapeNode> node;
  int output = 0;
};

class CpuValue : public ValueImpl {
 public:
  CpuValue(Engine* engine, const Shape& shape, DType dtype, const void* data, std::shared_ptr<const void> owner,
           bool writable)
      : ValueImpl(engine, shape, dtype), data_(data), owner_(std::move(owner)), writable_(writable) {}

  const void* data() const { return data_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  // Nobody else sees this memory: a value whose only handle is given away may be overwritten.
  bool exclusive() const { return writable_ && owner_.use_count() == 1; }
  bool writable() const { return writable_; }
  virtual const kernels::PackedMatrix* packed() const { return nullptr; }  // null: whole numbers at data()
  const History& history() const { return history_; }
  void set_history(History history) { history_ = std::move(history); }

 private:
  const void* data_;
  std::shared_ptr<const void> owner_;
  bool writable_;
  History history_;
};

// A matrix in fewer bits; has no data() of its own.
class PackedValue : public CpuValue {
 public:
  PackedValue(Engine* engine, const kernels::PackedMatrix& matrix, std::shared_ptr<const void> owner)
      : CpuValue(engine, Shape({matrix.O, matrix.I}), DType::kF32, nullptr, std::move(owner), false), matrix_(matrix) {}
  const kernels::PackedMatrix* packed() const override { return &matrix_; }

 private:
  kernels::PackedMatrix matrix_;
};

inline const kernels::PackedMatrix* packed(const Value& x) { return x.as<CpuValue>().packed(); }
inline void* mutable_data(const Value& x) { return const_cast<void*>(x.as<CpuValue>().data()); }
template <class Real>
Real* mutable_reals(const Value& x) {
  return static_cast<Real*>(mutable_data(x));
}
template <class Real>
Real* mutable_reals_or_null(const Value& x) {
  return x ? mutable_reals<Real>(x) : nullptr;
}
template <class Real>
const Real* reals(const Value& x) {
  return mutable_reals<Real>(x);
}
template <class Real>
const Real* reals_or_null(const Value& x) {
  return mutable_reals_or_null<Real>(x);
}
inline const float* floats(const Value& x) { return reals<float>(x); }
inline const float* floats_or_null(const Value& x) { return reals_or_null<float>(x); }
inline float* mutable_floats(const Value& x) { return mutable_reals<float>(x); }
inline const int64_t* ids(const Value& x) { return reals<int64_t>(x); }

// x as rows of its last dimension.
inline int64_t channels(const Value& x) { return x.size(-1); }
inline int64_t rows(const Value& x) { return channels(x) > 0 ? x.shape().numel() / channels(x) : 0; }

}  // namespace rebased
