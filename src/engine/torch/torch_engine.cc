#include "engine/torch/torch_engine.h"

#include <torch/version.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "engine/torch/composite.h"
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

// A pointer to the state's tensors, or nulls, for operations that advance running sums in place of a Value.
struct StateTensors {
  explicit StateTensors(const LinearState* state) : given(state != nullptr) {
    if (given) {
      s = tensor_of(state->s);
      z = tensor_of(state->z);
    }
  }
  Tensor* s_or_null() { return given ? &s : nullptr; }
  Tensor* z_or_null() { return given ? &z : nullptr; }
  void store(TorchEngine& engine, LinearState* state) {
    if (given) *state = {engine.wrap(s), engine.wrap(z)};
  }

  bool given;
  Tensor s, z;
};

// Positions of queries [B or 1, T] and slots [B or 1, S] (AttentionOptions).
std::pair<Tensor, Tensor> positions_of(const AttentionOptions& options, int64_t T, int64_t S, torch::Device device) {
  if (options.query_pos) return {tensor_of(options.query_pos), tensor_of(options.key_pos)};
  const auto ids = torch::TensorOptions().dtype(torch::kInt64).device(device);
  return {torch::arange(S - T, S, ids).unsqueeze(0), torch::arange(S, ids).unsqueeze(0)};
}

// [B or 1, T, S] bool: which slots each query sees, and which hold a key at all.
composite::Slots slots_of(const AttentionOptions& options, int64_t T, int64_t S, torch::Device device) {
  const auto [query_pos, key_pos] = positions_of(options, T, S, device);
  const Tensor q = query_pos.unsqueeze(2), k = key_pos.unsqueeze(1);
  const Tensor held = (k >= 0).expand({k.size(0), T, S});
  Tensor visible = held.logical_and(k <= q);
  if (options.window > 0) visible = visible.logical_and(k > q - options.window);
  return {visible, held};
}

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

Value TorchEngine::swiglu(const Value& x) {
  if (uses_kernels(x)) return wrap(kernel_functions::swiglu(tensor_of(x)));
  const std::vector<Tensor> halves = torch::chunk(tensor_of(x), 2, -1);
  return wrap(halves[0] * torch::silu(halves[1]));
}

Value TorchEngine::softmax(const Value& x) { return wrap(torch::softmax(tensor_of(x), -1)); }
Value TorchEngine::sum_last(const Value& x) { return wrap(tensor_of(x).sum(-1, true)); }

Value TorchEngine::layer_norm(const Value& x, const Value& gamma, const Value& beta, double eps) {
  if (uses_kernels(x)) return wrap(kernel_functions::layer_norm(tensor_of(x), tensor_of(gamma), tensor_of(beta), eps));
  return wrap(torch::layer_norm(tensor_of(x), {x.size(-1)}, tensor_of(gamma), tensor_of(beta), eps));
}

Value TorchEngine::rms_norm(const Value& value, const Value& weight, double eps) {
  const Tensor x = tensor_of(value);
  if (uses_kernels(value)) return wrap(kernel_functions::rms_norm(x, tensor_of(weight), eps));
  const Tensor y = x * torch::rsqrt(x.square().mean(-1, true) + eps);
  return wrap(weight ? y * tensor_of(weight) : y);
}

SumAndNorm TorchEngine::add_layer_norm(const Value& a, const Value& b, const Value& gamma, const Value& beta,
                                       double eps) {
  if (!uses_kernels(a) || !uses_kernels(b)) return Engine::add_layer_norm(a, b, gamma, beta, eps);
  const auto both =
      kernel_functions::add_layer_norm(tensor_of(a), tensor_of(b), tensor_of(gamma), tensor_of(beta), eps);
  return {wrap(both[0]), wrap(both[1])};
}

SumAndNorm TorchEngine::add_rms_norm(const Value& a, const Value& b, const Value& weight, double eps) {
  if (!uses_kernels(a) || !uses_kernels(b)) return Engine::add_rms_norm(a, b, weight, eps);
  const auto both = kernel_functions::add_rms_norm(tensor_of(a), tensor_of(b), tensor_of(weight), eps);
  return {wrap(both[0]), wrap(both[1])};
}

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

Value TorchEngine::dropout(const Value& x, double p, uint64_t key) {
  if (uses_kernels(x)) return wrap(kernel_functions::dropout(tensor_of(x), p, key));
  return wrap(composite::dropout(tensor_of(x), p, key));
}

Value TorchEngine::rope(const Value& value, const Value& positions, const RopeOptions& options) {
  const Tensor x = tensor_of(value);
  if (uses_kernels(value)) return wrap(kernel_functions::rope(x, tensor_of(positions), options));
  const int64_t half = options.rotary / 2, D = value.size(3);
  const auto f64 = torch::TensorOptions().dtype(torch::kFloat64).device(device_);
  const Tensor frequency =
      torch::pow(options.base, torch::arange(half, f64) * (-2.0 / static_cast<double>(options.rotary)));
  const Tensor angle =
      tensor_of(positions).to(torch::kFloat64).unsqueeze(-1).unsqueeze(-1) * frequency;  // [B, T, 1, half]
  const Tensor cos = angle.cos().to(x.scalar_type()), sin = angle.sin().to(x.scalar_type());
  const Tensor first = x.narrow(3, 0, half), second = x.narrow(3, half, half);
  return wrap(torch::cat(
      {first * cos - second * sin, second * cos + first * sin, x.narrow(3, options.rotary, D - options.rotary)}, 3));
}

Value TorchEngine::packed_squares(const Value& x) { return wrap(composite::packed_squares(tensor_of(x))); }

Value TorchEngine::taylor_features(const Value& value, bool packed) {
  const Tensor x = tensor_of(value);
  const auto D = static_cast<double>(value.size(-1));
  const Tensor second = packed ? composite::packed_squares(x) : (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2);
  return wrap(torch::cat({torch::ones_like(x.narrow(-1, 0, 1)), x / std::pow(D, 0.25), second / std::sqrt(2 * D)}, -1));
}

Value TorchEngine::short_conv(const Value& x, const Value& w, const Value& bias, bool silu, Value* state) {
  Tensor history = state != nullptr ? tensor_of(*state) : Tensor();
  Tensor* advanced = state != nullptr ? &history : nullptr;
  const Tensor y = uses_kernels(x)
                       ? kernel_functions::short_conv(tensor_of(x), tensor_of(w), tensor_of(bias), silu, advanced)
                       : composite::short_conv(tensor_of(x), tensor_of(w), tensor_of(bias), silu, advanced);
  if (state != nullptr) *state = wrap(history);
  return wrap(y);
}

Value TorchEngine::long_conv(const Value& x, const Value& filter) {
  return wrap(composite::long_conv(tensor_of(x), tensor_of(filter)));
}

Value TorchEngine::quadratic_attention(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                                       LinearState* state) {
  StateTensors sums(state);
  const auto run = uses_kernels(q) && q.size(3) <= kernels::kMaxKeyDim ? kernel_functions::quadratic_attention
                                                                       : composite::quadratic_attention;
  const Tensor o = run(tensor_of(q), tensor_of(k), tensor_of(v), options, sums.s_or_null(), sums.z_or_null());
  sums.store(*this, state);
  return wrap(o);
}

Value TorchEngine::linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                                    LinearState* state) {
  StateTensors sums(state);
  const auto run = uses_kernels(q) ? kernel_functions::linear_attention : composite::linear_attention;
  const Tensor o = run(tensor_of(q), tensor_of(k), tensor_of(v), options, sums.s_or_null(), sums.z_or_null());
  sums.store(*this, state);
  return wrap(o);
}

Value TorchEngine::softmax_attention(const Value& q, const Value& k, const Value& v, const AttentionOptions& options) {
  const int64_t B = q.size(0), T = q.size(1), S = k.size(1);
  if (uses_kernels(q)) {
    const auto [query_pos, key_pos] = positions_of(options, T, S, device_);
    return wrap(kernel_functions::softmax_attention(tensor_of(q), tensor_of(k), tensor_of(v), query_pos.expand({B, T}),
                                                    key_pos.expand({B, S}), options));
  }
  const composite::Slots slots = slots_of(options, T, S, device_);
  return wrap(composite::softmax_attention(tensor_of(q), tensor_of(k), tensor_of(v), slots, options));
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
