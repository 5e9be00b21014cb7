#include "engine/torch/kernel_functions.h"

#include "engine/torch/kernel_tensors.h"
#include "kernels/cross_entropy.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"
#include "kernels/short_conv.h"
#include "kernels/thin_linear.h"

namespace rebased::kernel_functions {
namespace {

namespace cpu = kernels::cpu;

int64_t channels(const Tensor& x) { return x.size(-1); }
int64_t rows(const Tensor& x) { return channels(x) > 0 ? x.numel() / channels(x) : 0; }

kernels::ShortConvArgs<float> conv_args(const Tensor& x, const Tensor& w, const Tensor& bias, bool silu,
                                        const Tensor& state) {
  kernels::ShortConvArgs<float> args{.B = x.size(0), .T = x.size(1), .C = x.size(2), .K = w.size(1)};
  args.x = data(x);
  args.w = data(w);
  args.bias = data(bias);
  args.silu = silu;
  args.state0 = data(state);
  return args;
}

class ShortConvFunction : public Function<ShortConvFunction> {
 public:
  static tensor_list forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& w_in, const MaybeTensor& bias_in,
                             const MaybeTensor& state_in, bool silu) {
    const Tensor x = dense(x_in), w = dense(w_in);
    const Tensor bias = dense(or_undefined(bias_in)), state = dense(or_undefined(state_in));
    auto args = conv_args(x, w, bias, silu, state);
    const Tensor y = torch::empty_like(x), stateT = empty_like_or_none(state);
    args.y = mutable_data(y);
    args.stateT = mutable_data(stateT);
    cpu::short_conv(args);
    ctx->save_for_backward({x, w, bias, state});
    ctx->saved_data["silu"] = silu;
    if (!state.defined()) return {y};
    return {y, stateT};
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("short_conv");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], &bias = saved[2], &state = saved[3];
    kernels::ShortConvGradArgs<float> args;
    args.forward = conv_args(x, w, bias, ctx->saved_data["silu"].toBool(), state);
    const Tensor dy = grads[0].defined() ? dense(grads[0]) : torch::zeros_like(x);
    const Tensor d_stateT = state.defined() ? dense(grads[1]) : Tensor();
    const Tensor dx = torch::empty_like(x), dw = torch::empty_like(w);
    const Tensor dbias = empty_like_or_none(bias), d_state = empty_like_or_none(state);
    args.dy = data(dy);
    args.d_stateT = data(d_stateT);
    args.dx = mutable_data(dx);
    args.dw = mutable_data(dw);
    args.dbias = mutable_data(dbias);
    args.d_state0 = mutable_data(d_state);
    const Tensor work = scratch(cpu::short_conv_grad_scratch(args));
    args.scratch = mutable_data(work);
    cpu::short_conv_grad(args);
    return {dx, dw, dbias, d_state, Tensor()};
  }
};

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

// Both norms; rms_norm has no shift.
struct NormOptions {
  double eps;
  bool centred;
};

Tensor norm_of(AutogradContext* ctx, const Tensor& x, const MaybeTensor& gain_in, const MaybeTensor& shift_in,
               const NormOptions& options) {
  const Tensor gain = dense(or_undefined(gain_in)), shift = dense(or_undefined(shift_in));
  const Tensor y = torch::empty_like(x);
  if (options.centred) {
    cpu::layer_norm(rows(x), channels(x), data(x), data(gain), data(shift), options.eps, mutable_data(y));
  } else {
    cpu::rms_norm(rows(x), channels(x), data(x), data(gain), options.eps, mutable_data(y));
  }
  ctx->save_for_backward({x, gain, shift});
  ctx->saved_data["eps"] = options.eps;
  ctx->saved_data["centred"] = options.centred;
  return y;
}

struct NormSlopes {
  Tensor x, gain, shift;
};

// other: the gradient of x from its other uses, or undefined.
NormSlopes norm_grad(AutogradContext* ctx, const Tensor& dy_in, const Tensor& other_in) {
  const bool centred = ctx->saved_data["centred"].toBool();
  refuse_double_backward(centred ? "layer_norm" : "rms_norm");
  const auto saved = ctx->get_saved_variables();
  const Tensor &x = saved[0], &gain = saved[1], &shift = saved[2];
  const Tensor dy = dense(dy_in), other = dense(other_in);
  const NormSlopes slopes{torch::empty_like(x), empty_like_or_none(gain), empty_like_or_none(shift)};
  kernels::NormGradArgs<float> args;
  args.N = rows(x);
  args.C = channels(x);
  args.x = data(x);
  args.gain = data(gain);
  args.eps = ctx->saved_data["eps"].toDouble();
  args.dy = data(dy);
  args.other = data(other);
  args.dx = mutable_data(slopes.x);
  args.d_gain = mutable_data(slopes.gain);
  args.d_shift = mutable_data(slopes.shift);
  const Tensor work = scratch(cpu::norm_grad_scratch(args));
  args.scratch = mutable_data(work);
  centred ? cpu::layer_norm_grad(args) : cpu::rms_norm_grad(args);
  return slopes;
}

class NormFunction : public Function<NormFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const MaybeTensor& gain, const MaybeTensor& shift,
                        double eps, bool centred) {
    return norm_of(ctx, dense(x), gain, shift, {eps, centred});
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const NormSlopes slopes = norm_grad(ctx, grads[0], Tensor());
    return {slopes.x, slopes.gain, slopes.shift, Tensor(), Tensor()};
  }
};

// The sum's own gradient joins that of the norm in one pass.
class AddNormFunction : public Function<AddNormFunction> {
 public:
  static tensor_list forward(AutogradContext* ctx, const Tensor& a, const Tensor& b, const MaybeTensor& gain,
                             const MaybeTensor& shift, double eps, bool centred) {
    ctx->set_materialize_grads(false);
    const Tensor sum = dense(a + b);
    return {sum, norm_of(ctx, sum, gain, shift, {eps, centred})};
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    if (!grads[1].defined()) return {grads[0], grads[0], Tensor(), Tensor(), Tensor(), Tensor()};
    const NormSlopes slopes = norm_grad(ctx, grads[1], grads[0]);
    return {slopes.x, slopes.x, slopes.gain, slopes.shift, Tensor(), Tensor()};
  }
};

class SwigluFunction : public Function<SwigluFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in) {
    const Tensor x = dense(x_in);
    std::vector<int64_t> sizes = x.sizes().vec();
    sizes.back() /= 2;
    const Tensor y = torch::empty(sizes, x.options());
    cpu::swiglu(rows(y), channels(y), data(x), mutable_data(y));
    ctx->save_for_backward({x});
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("swiglu");
    const Tensor x = ctx->get_saved_variables()[0], dy = dense(grads[0]), dx = torch::empty_like(x);
    cpu::swiglu_grad(rows(dy), channels(dy), data(x), data(dy), mutable_data(dx));
    return {dx};
  }
};

class RopeFunction : public Function<RopeFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& positions_in, int64_t rotary,
                        double base) {
    const Tensor positions = dense(positions_in);
    ctx->save_for_backward({positions});
    ctx->saved_data["rotary"] = rotary;
    ctx->saved_data["base"] = base;
    return rotated(x, positions, rotary, base);
  }

  // A rotation's gradient is the rotation backwards: by the positions' negatives.
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("rope");
    const Tensor back = ctx->get_saved_variables()[0].neg();
    return {rotated(grads[0], back, ctx->saved_data["rotary"].toInt(), ctx->saved_data["base"].toDouble()), Tensor(),
            Tensor(), Tensor()};
  }

 private:
  static Tensor rotated(const Tensor& x_in, const Tensor& positions, int64_t rotary, double base) {
    const Tensor x = dense(x_in), y = torch::empty_like(x);
    cpu::rope(x.size(0), x.size(1), x.size(2), x.size(3), rotary, base, positions.data_ptr<int64_t>(), data(x),
              mutable_data(y));
    return y;
  }
};

class DropoutFunction : public Function<DropoutFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, double p, int64_t key) {
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    return dropped(dense(x_in), p, key);
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    return {dropped(dense(grads[0]), ctx->saved_data["p"].toDouble(), ctx->saved_data["key"].toInt()), Tensor(),
            Tensor()};
  }

 private:
  static Tensor dropped(const Tensor& x, double p, int64_t key) {
    const Tensor y = torch::empty_like(x);
    cpu::dropout(x.numel(), static_cast<uint64_t>(key), p, data(x), mutable_data(y));
    return y;
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

Tensor short_conv(const Tensor& x, const Tensor& w, const Tensor& bias, bool silu, Tensor* state) {
  tensor_list out = ShortConvFunction::apply(x, w, maybe(bias), state != nullptr ? maybe(*state) : MaybeTensor(), silu);
  if (state != nullptr) *state = out[1];
  return out[0];
}

bool prefers_linear(const Tensor& x, const Tensor& w) {
  return cpu::prefers_thin_linear(x.size(0), w.size(1), w.size(0));
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) { return LinearFunction::apply(x, w, maybe(bias)); }

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  return NormFunction::apply(x, maybe(gamma), maybe(beta), eps, true);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return NormFunction::apply(x, maybe(weight), MaybeTensor(), eps, false);
}

std::vector<Tensor> add_layer_norm(const Tensor& a, const Tensor& b, const Tensor& gamma, const Tensor& beta,
                                   double eps) {
  return AddNormFunction::apply(a, b, maybe(gamma), maybe(beta), eps, true);
}

std::vector<Tensor> add_rms_norm(const Tensor& a, const Tensor& b, const Tensor& weight, double eps) {
  return AddNormFunction::apply(a, b, maybe(weight), MaybeTensor(), eps, false);
}

Tensor rope(const Tensor& x, const Tensor& positions, const RopeOptions& options) {
  return RopeFunction::apply(x, positions, options.rotary, options.base);
}

Tensor swiglu(const Tensor& x) { return SwigluFunction::apply(x); }

Tensor dropout(const Tensor& x, double p, uint64_t key) {
  return DropoutFunction::apply(x, p, static_cast<int64_t>(key));
}

std::vector<Tensor> cross_entropy(const Tensor& x, const Tensor& e, const Tensor& labels) {
  const bool with_grad = torch::GradMode::is_enabled() && (x.requires_grad() || e.requires_grad());
  return CrossEntropyFunction::apply(x, e, labels, with_grad);
}

}  // namespace rebased::kernel_functions
