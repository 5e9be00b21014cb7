#pragma once

#include <torch/torch.h>

#include "engine/value.h"

namespace rebased {

class TorchValue : public ValueImpl {
 public:
  TorchValue(Engine* engine, const Shape& shape, DType dtype, torch::Tensor tensor)
      : ValueImpl(engine, shape, dtype), tensor_(std::move(tensor)) {}
  torch::Tensor& tensor() { return tensor_; }

 private:
  torch::Tensor tensor_;
};

// The tensor behind a value of a TorchEngine; undefined for an empty value.
inline torch::Tensor tensor_of(const Value& value) { return value ? value.as<TorchValue>().tensor() : torch::Tensor(); }

}  // namespace rebased
