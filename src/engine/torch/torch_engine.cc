#include "engine/torch/torch_engine.h"

#include <torch/version.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "cores/composites.h"
#include "engine/torch/core_function.h"
#include "engine/torch/kernel_functions.h"

namespace rebased {
namespace {

using torch::Tensor;

torch::Dtype torch_dtype(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return torch::kFloat32;
    case DType::kF64:
      return torch::kFloat64;
    case DType::kF16:
      return torch::kFloat16;
    case DType::kBF16:
      return torch::kBFloat16;
    case DType::kI64:
      return torch::kInt64;
    default:
      throw DeviceError("the torch engine holds no values of type {}", dtype_name(dtype));
  }
}

DType dtype_from(torch::Dtype dtype) {
  if (dtype == torch::kFloat32) return DType::kF32;
  if (dtype == torch::kFloat64) return DType::kF64;
  if (dtype == torch::kFloat16) return DType::kF16;
  if (dtype == torch::kBFloat16) return DType::kBF16;
  if (dtype == torch::kInt64) return DType::kI64;
  throw DeviceError("the torch engine holds no values of torch type {}", static_cast<int>(dtype));
}

torch::IntArrayRef sizes_of(const Shape& shape) { return {shape.begin(), static_cast<size_t>(shape.rank())}; }

void check_ids(const Tensor& ids, int64_t vocabulary) {
  const Tensor dense = ids.contiguous();
  for (int64_t i = 0; i < dense.numel(); ++i) {
    const int64_t id = dense.data_ptr<int64_t>()[i];
    if (id < 0 || id >= vocabulary)
      throw ShapeError("[embedding] id {} is outside the vocabulary of {}", id, vocabulary);
  }
}

}  // namespace

TorchEngine::TorchEngine(torch::Dtype dtype, torch::Device device, bool kernels, Precision products)
    : dtype_(dtype), device_(device), kernels_(kernels), products_(products) {}

Value TorchEngine::wrap(Tensor tensor) const {
  const Shape shape(std::span<const int64_t>(tensor.sizes().data(), tensor.sizes().size()));
  const DType dtype = dtype_from(tensor.scalar_type());
  return Value(std::make_shared<TorchValue>(const_cast<TorchEngine*>(this), shape, dtype, std::move(tensor)));
}

bool TorchEngine::uses_kernels(const Value& x) const {
  return kernels_ && device_.is_cpu() && x.dtype() == DType::kF32;
}

bool TorchEngine::rounds_products(const Value& x) const {
  return products_ == Precision::kBF16 && x.dtype() == DType::kF32;
}

std::string TorchEngine::name() const { return "torch:" + device_.str(); }
std::pair<std::string, std::string> TorchEngine::library() const { return {"libtorch", TORCH_VERSION}; }
DType TorchEngine::compute_dtype() const { return dtype_from(dtype_); }

Value TorchEngine::from_host(const void* data, DType dtype, const Shape& shape, DType as) {
  Tensor host = torch::empty(sizes_of(shape), torch_dtype(as));
  convert_elements(data, dtype, host.data_ptr(), as, shape.numel());
  return wrap(host.to(device_));
}

Value TorchEngine::borrow(const float* data, const Shape& shape, std::shared_ptr<const void>) {
  return from_host(data, DType::kF32, shape, compute_dtype());  // parameters are updated in place: never in the file
}

void TorchEngine::to_host(const Value& x, void* data, DType as) {
  const Tensor host = tensor_of(x).detach().to(torch::kCPU).contiguous();
  convert_elements(host.data_ptr(), x.dtype(), data, as, x.shape().numel());
}

Value TorchEngine::full(const Shape& shape, DType dtype, double fill) {
  return wrap(torch::full(sizes_of(shape), fill, torch::TensorOptions().dtype(torch_dtype(dtype)).device(device_)));
}

Value TorchEngine::embedding(const Value& ids, const Value& table) {
  if (device_.is_cpu()) check_ids(tensor_of(ids), table.size(0));
  return wrap(torch::embedding(tensor_of(table), tensor_of(ids)));
}

Value TorchEngine::linear(const Value& x, const Value& w, const Value& bias) {
  const Tensor rows = tensor_of(x).reshape({-1, w.size(1)});
  const Tensor& weight = tensor_of(w);
  const Tensor y = rounds_products(x) ? mixed_precision::linear(rows, weight, tensor_of(bias))
                   : uses_kernels(x) && kernel_functions::prefers_linear(rows, weight)
                       ? kernel_functions::linear(rows, weight, tensor_of(bias))
                   : bias ? torch::addmm(tensor_of(bias), rows, weight.t())
                          : torch::mm(rows, weight.t());
  return wrap(y.view(sizes_of(x.shape().with(-1, w.size(0)))));
}

Value TorchEngine::add(const Value& a, const Value& b) { return wrap(tensor_of(a) + tensor_of(b)); }
Value TorchEngine::mul(const Value& a, const Value& b) { return wrap(tensor_of(a) * tensor_of(b)); }

Value TorchEngine::scale_shift(const Value& x, double scale, double shift) {
  Tensor y = tensor_of(x);
  if (scale != 1) y = y * scale;
  if (shift != 0) y = y + shift;
  return wrap(y);
}

Value TorchEngine::unary(UnaryOp op, const Value& value) {
  const Tensor x = tensor_of(value);
  switch (op) {
    case UnaryOp::kSilu:
      return wrap(torch::silu(x));
    case UnaryOp::kGelu:
      return wrap(torch::gelu(x));
    case UnaryOp::kRelu:
      return wrap(torch::relu(x));
    case UnaryOp::kElu:
      return wrap(torch::elu(x));
    case UnaryOp::kExp:
      return wrap(torch::exp(x));
    case UnaryOp::kSquare:
      return wrap(x * x);
    case UnaryOp::kTanh:
      return wrap(torch::tanh(x));
    case UnaryOp::kSigmoid:
      return wrap(torch::sigmoid(x));
  }
  throw DeviceError("unknown unary operation");
}

Value TorchEngine::sum_last(const Value& x) { return wrap(tensor_of(x).sum(-1, true)); }

Value TorchEngine::reshape(const Value& x, const Shape& shape) { return wrap(tensor_of(x).reshape(sizes_of(shape))); }
Value TorchEngine::transpose(const Value& x) { return wrap(tensor_of(x).t()); }

Value TorchEngine::slice(const Value& x, int dim, int64_t begin, int64_t length) {
  return wrap(tensor_of(x).narrow(dim, begin, length));
}

std::vector<Value> TorchEngine::split(const Value& x, int dim, std::span<const int64_t> lengths) {
  std::vector<Value> parts;
  for (const Tensor& part : tensor_of(x).split_with_sizes({lengths.data(), lengths.size()}, dim)) {
    parts.push_back(wrap(part));
  }
  return parts;
}

Value TorchEngine::concat(std::span<const Value> parts, int dim) {
  std::vector<Tensor> tensors;
  for (const Value& part : parts) tensors.push_back(tensor_of(part));
  return wrap(torch::cat(tensors, dim));
}

Value TorchEngine::select_rows(const Value& x, std::span<const int64_t> rows) {
  const Tensor index = torch::tensor(torch::ArrayRef<int64_t>(rows.data(), rows.size()), torch::kInt64).to(device_);
  return wrap(tensor_of(x).index_select(0, index));
}

Value TorchEngine::write_time(Value&& cache, const Value& x, int64_t at) {
  const Tensor old = tensor_of(cache);
  const int64_t behind = at + x.size(1);
  return wrap(torch::cat({old.narrow(1, 0, at), tensor_of(x), old.narrow(1, behind, old.size(1) - behind)}, 1));
}

std::vector<Value> TorchEngine::run(const CoreUse& use, std::span<const Value> operands,
                                    std::span<Value* const> states) {
  std::vector<Tensor> tensors, state_tensors;
  for (const Value& operand : operands) tensors.push_back(tensor_of(operand));
  for (const Value* state : states) state_tensors.push_back(tensor_of(*state));
  const std::vector<Tensor> results = uses_kernels(operands.front())
                                          ? run_core_kernels(use, tensors, state_tensors)
                                          : composite_of(*use.core)(*use.core, tensors, state_tensors);
  for (size_t i = 0; i < states.size(); ++i) *states[i] = wrap(state_tensors[i]);
  std::vector<Value> values;
  for (const Tensor& result : results) values.push_back(wrap(result));
  return values;
}

CrossEntropy TorchEngine::cross_entropy(const Value& x_value, const Value& e_value, std::span<const int64_t> labels) {
  const Tensor targets =
      torch::tensor(torch::ArrayRef<int64_t>(labels.data(), labels.size()), torch::kInt64).to(device_);
  Tensor x = tensor_of(x_value), e = tensor_of(e_value);
  if (rounds_products(x_value)) x = mixed_precision::rounded(x), e = mixed_precision::rounded(e);
  Tensor loss, nll, best;
  if (uses_kernels(x_value)) {
    const std::vector<Tensor> out = kernel_functions::cross_entropy(x, e, targets);
    loss = out[0], nll = out[1], best = out[2];
  } else {
    const Tensor logits = torch::mm(x, e.t());
    nll = torch::nll_loss(torch::log_softmax(logits, -1), targets, {}, torch::Reduction::None);
    loss = nll.mean();
    best = logits.argmax(-1);
  }
  CrossEntropy result;
  result.loss = wrap(loss);
  result.nll.resize(labels.size());
  result.best.resize(labels.size());
  to_host(wrap(nll), result.nll.data(), DType::kF32);
  to_host(wrap(best), result.best.data(), DType::kI64);
  return result;
}

Value TorchEngine::detach(const Value& x) { return wrap(tensor_of(x).detach()); }
Value TorchEngine::copy(const Value& x) { return wrap(tensor_of(x).clone()); }

}  // namespace rebased
