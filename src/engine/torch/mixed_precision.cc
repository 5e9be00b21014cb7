#include "engine/torch/mixed_precision.h"

#include "engine/torch/kernel_tensors.h"

namespace rebased::mixed_precision {
namespace {

using namespace kernel_functions;  // NOLINT

Tensor narrow(const Tensor& x) { return x.to(torch::kBFloat16); }
Tensor widen(const Tensor& x) { return x.to(torch::kFloat32); }

// Rounded numbers in the type that products here take, and a product of two such: a [M, K] b [K, N] -> float32.
Tensor operand(const Tensor& narrowed) { return multiplies_natively(narrowed.device()) ? narrowed : widen(narrowed); }
Tensor product(const Tensor& a, const Tensor& b) { return widen(torch::mm(a, b)); }

class LinearFunction : public Function<LinearFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& w_in, const MaybeTensor& bias) {
    const Tensor x = narrow(x_in), w = narrow(w_in);
    ctx->save_for_backward({x, w});
    ctx->saved_data["dx"] = x_in.requires_grad();
    ctx->saved_data["dbias"] = bias.has_value();
    Tensor y = product(operand(x), operand(w).t());
    return bias ? y.add_(*bias) : y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("linear");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], dy = operand(narrow(grads[0]));
    return {ctx->saved_data["dx"].toBool() ? product(dy, operand(w)) : Tensor(), product(dy.t(), operand(x)),
            ctx->saved_data["dbias"].toBool() ? grads[0].sum(0) : Tensor()};
  }
};

class RoundFunction : public Function<RoundFunction> {
 public:
  static Tensor forward(AutogradContext*, const Tensor& x) { return widen(narrow(x)); }
  static tensor_list backward(AutogradContext*, tensor_list grads) { return {grads[0]}; }
};

bool has_bf16_instructions() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace

bool multiplies_natively(torch::Device device) {
  static const bool natively = has_bf16_instructions() && at::hasMKLDNN();
  return !device.is_cpu() || natively;
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) { return LinearFunction::apply(x, w, maybe(bias)); }

Tensor rounded(const Tensor& x) { return RoundFunction::apply(x); }

}  // namespace rebased::mixed_precision
