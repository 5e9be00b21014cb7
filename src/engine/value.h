#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/dtype.h"
#include "base/shape.h"

namespace rebased {

class Engine;

// What an engine keeps for one value; each engine derives its own.
class ValueImpl {
 public:
  ValueImpl(Engine* engine, const Shape& shape, DType dtype) : engine_(engine), shape_(shape), dtype_(dtype) {}
  virtual ~ValueImpl() = default;
  ValueImpl(const ValueImpl&) = delete;
  ValueImpl& operator=(const ValueImpl&) = delete;

  Engine& engine() const { return *engine_; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }

 private:
  Engine* engine_;
  Shape shape_;
  DType dtype_;
};

// A dense array that belongs to an engine: the one type models are written in. A handle: copies share the array, which
// never changes while two handles see it. Empty when default-constructed (an absent optional operand).
class Value {
 public:
  Value() = default;
  explicit Value(std::shared_ptr<ValueImpl> impl) : impl_(std::move(impl)) {}

  explicit operator bool() const { return impl_ != nullptr; }
  const Shape& shape() const { return impl_->shape(); }
  int64_t size(int dim) const { return impl_->shape()[dim]; }  // negative counts from the end
  DType dtype() const { return impl_->dtype(); }
  Engine& engine() const { return impl_->engine(); }

  // For engines: the implementation, which must be theirs; and whether this handle is the only one.
  template <class Impl>
  Impl& as() const {
    return static_cast<Impl&>(*impl_);
  }
  bool unique() const { return impl_.use_count() == 1; }

 private:
  std::shared_ptr<ValueImpl> impl_;
};

}  // namespace rebased
