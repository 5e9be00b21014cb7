#include "engine/torch/kernel_functions.h"

#include "engine/torch/kernel_tensors.h"
#include "kernels/cross_entropy.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"
#include "kernels/thin_linear.h"

namespace rebased::kernel_functions {
namespace {

namespace cpu = kernels::cpu;

class LinearFunction : public Function<LinearFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& w_in, const MaybeTensor& bias_in) {
    const Tensor x = dense(x_in), w = dense(w_in), bias = dense(or_undefined(bias_in));
    const Tensor y = torch::empty({x.size(0), w.size(0)}, x.options());
    kernels::ThinLinearArgs args{.N = x.size(0), .I = x.size(1), .O = w.size(0), .x = data(x), .w = data(w)};
    args.bias = data(bias);
    args.y = mutable_data(y);
    const Tensor work = scratch(cpu::thin_linear_scratch(args));
    args.scratch = mutable_data(work);
    cpu::thin_linear(args);
    ctx->save_for_backward({x, w});
    ctx->saved_data["dx"] = x_in.requires_grad();
    ctx->saved_data["dbias"] = bias.defined();
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("linear");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], dy = dense(grads[0]);
    const Tensor dx = ctx->saved_data["dx"].toBool() ? torch::empty_like(x) : Tensor(), dw = torch::empty_like(w);
    const Tensor dbias = ctx->saved_data["dbias"].toBool() ? torch::empty({w.size(0)}, w.options()) : Tensor();
    kernels::LinearGradArgs args{.N = x.size(0), .I = x.size(1), .O = w.size(0), .x = data(x), .w = data(w)};
    args.dy = data(dy);
    args.dx = mutable_data(dx);
    args.dw = mutable_data(dw);
    args.dbias = mutable_data(dbias);
    const Tensor work = scratch(cpu::thin_linear_grad_scratch(args));
    args.scratch = mutable_data(work);
    cpu::thin_linear_grad(args);
    return {dx, dw, dbias};
  }
};

class CrossEntropyFunction : public Function<CrossEntropyFunction> {
 public:
  static tensor_list forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& e_in, const Tensor& labels,
                             bool with_grad) {
    const Tensor x = dense(x_in), e = dense(e_in);
    kernels::CrossEntropyArgs<float> args{.N = x.size(0), .C = x.size(1), .V = e.size(0)};
    const Tensor nll = torch::empty({args.N}, x.options()), best = torch::empty({args.N}, labels.options());
    const Tensor d_x = with_grad ? torch::empty_like(x) : Tensor(), d_e = with_grad ? torch::empty_like(e) : Tensor();
    args.x = data(x);
    args.e = data(e);
    args.labels = labels.data_ptr<int64_t>();
    args.nll = mutable_data(nll);
    args.best = best.data_ptr<int64_t>();
    args.grad_scale = 1.0 / static_cast<double>(args.N);
    args.d_x = mutable_data(d_x);
    args.d_e = mutable_data(d_e);
    const Tensor work = scratch(cpu::cross_entropy_scratch(args));
    args.scratch = mutable_data(work);
    cpu::cross_entropy(args);
    ctx->save_for_backward({d_x, d_e});
    ctx->mark_non_differentiable({nll, best});
    return {nll.to(torch::kFloat64).mean().to(torch::kFloat32), nll, best};
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("cross_entropy");
    const auto saved = ctx->get_saved_variables();
    return {saved[0] * grads[0], saved[1] * grads[0], Tensor(), Tensor()};
  }
};

}  // namespace

bool prefers_linear(const Tensor& x, const Tensor& w) {
  return cpu::prefers_thin_linear(x.size(0), w.size(1), w.size(0));
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) { return LinearFunction::apply(x, w, maybe(bias)); }

std::vector<Tensor> cross_entropy(const Tensor& x, const Tensor& e, const Tensor& labels) {
  const bool with_grad = torch::GradMode::is_enabled() && (x.requires_grad() || e.requires_grad());
  return CrossEntropyFunction::apply(x, e, labels, with_grad);
}

}  // namespace rebased::kernel_functions
