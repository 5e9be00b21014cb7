#pragma once

#include <torch/torch.h>

#include "engine/autograd.h"
#include "engine/engine.h"
#include "engine/torch/mixed_precision.h"
#include "engine/torch/torch_value.h"

namespace rebased {

// Training with libtorch: tensors with autograd, on any of its devices. float32 on the CPU runs our kernels as autograd
// functions; every other dtype or device, and kernels = false, runs the composite torch form of the same operation.
// `products` is the type that float32 operands of linear and of the head are rounded to.
class TorchEngine : public Engine, public Autograd {
 public:
  explicit TorchEngine(torch::Dtype dtype = torch::kFloat32, torch::Device device = torch::kCPU, bool kernels = true,
                       Precision products = Precision::kF32);

  torch::Device device() const { return device_; }
  Value wrap(torch::Tensor tensor) const;  // a tensor of this engine's device as a value

  std::string name() const override;
  DType compute_dtype() const override;
  std::pair<std::string, std::string> library() const override;
  Autograd* autograd() override { return this; }

  void track(const Value& leaf) override;
  void backward(std::span<const Value> outputs, std::span<const Value> weights) override;
  Value gradient(const Value& leaf) const override;
  void clear_gradient(const Value& leaf) override;
  bool set_recording(bool on) override;
  double sum_of_squares(const Value& x) override;
  void update(const Update& update, std::span<const Value> arrays) override;

  Value from_host(const void* data, DType dtype, const Shape& shape, DType as) override;
  Value borrow(const float* data, const Shape& shape, std::shared_ptr<const void> owner) override;
  void to_host(const Value& x, void* data, DType as) override;
  Value full(const Shape& shape, DType dtype, double fill) override;

  std::vector<Value> run(const CoreUse& use, std::span<const Value> operands, std::span<Value* const> states) override;
  Value embedding(const Value& ids, const Value& table) override;
  Value linear(const Value& x, const Value& w, const Value& bias) override;
  Value add(const Value& a, const Value& b) override;
  Value mul(const Value& a, const Value& b) override;
  Value scale_shift(const Value& x, double scale, double shift) override;
  Value unary(UnaryOp op, const Value& x) override;
  Value sum_last(const Value& x) override;
  Value reshape(const Value& x, const Shape& shape) override;
  Value transpose(const Value& x) override;
  Value slice(const Value& x, int dim, int64_t begin, int64_t length) override;
  std::vector<Value> split(const Value& x, int dim, std::span<const int64_t> lengths) override;
  Value concat(std::span<const Value> parts, int dim) override;
  Value select_rows(const Value& x, std::span<const int64_t> rows) override;
  Value write_time(Value&& cache, const Value& x, int64_t at) override;
  CrossEntropy cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) override;
  Value detach(const Value& x) override;
  Value copy(const Value& x) override;

 private:
  bool uses_kernels(const Value& x) const;
  bool rounds_products(const Value& x) const;

  torch::Dtype dtype_;
  torch::Device device_;
  bool kernels_;
  Precision products_;
};

}  // namespace rebased
