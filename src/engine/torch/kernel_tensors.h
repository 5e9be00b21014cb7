#pragma once

#include <torch/torch.h>

#include "base/error.h"

// What the autograd functions over kernels share.
namespace rebased::kernel_functions {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

using MaybeTensor = c10::optional<Tensor>;  // an absent operand: autograd refuses undefined tensors

inline MaybeTensor maybe(const Tensor& x) { return x.defined() ? MaybeTensor(x) : MaybeTensor(); }
inline Tensor or_undefined(const MaybeTensor& x) { return x ? *x : Tensor(); }

inline const float* data(const Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }
inline float* mutable_data(const Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }
inline Tensor dense(const Tensor& x) { return x.defined() ? x.contiguous() : x; }
inline Tensor scratch(int64_t floats) { return torch::empty({floats}, torch::kFloat32); }

inline void refuse_double_backward(const char* name) {
  if (torch::GradMode::is_enabled()) throw DeviceError("[{}] the gradient of the gradient is not available", name);
}

}  // namespace rebased::kernel_functions
