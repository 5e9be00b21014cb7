#include "engine/torch/kernel_functions.h"

#include "base/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"
#include "kernels/linear_attention.h"
#include "kernels/quadratic_attention.h"
#include "kernels/short_conv.h"
#include "kernels/softmax_attention.h"
#include "kernels/thin_linear.h"

namespace rebased::kernel_functions {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

namespace cpu = kernels::cpu;

using MaybeTensor = c10::optional<Tensor>;  // an absent operand: autograd refuses undefined tensors

MaybeTensor maybe(const Tensor& x) { return x.defined() ? MaybeTensor(x) : MaybeTensor(); }
Tensor or_undefined(const MaybeTensor& x) { return x ? *x : Tensor(); }

const float* data(const Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }
float* mutable_data(const Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }
Tensor dense(const Tensor& x) { return x.defined() ? x.contiguous() : x; }
Tensor empty_like_or_none(const Tensor& x) { return x.defined() ? torch::empty_like(x) : Tensor(); }
Tensor scratch(int64_t floats) { return torch::empty({floats}, torch::kFloat32); }

void refuse_double_backward(const char* name) {
  if (torch::GradMode::is_enabled()) throw DeviceError("[{}] the gradient of the gradient is not available", name);
}

struct QuadraticTraits {
  using Options = QuadraticOptions;
  using Args = kernels::QuadraticAttentionArgs<float>;
  using GradArgs = kernels::QuadraticAttentionGradArgs<float>;
  static constexpr const char* kName = "quadratic_attention";
  static void set(Args& args, const Options& options, int64_t key_width) {
    args.Dk = key_width;
    args.kernel = options.kernel;
  }
  static int64_t scratch_size(const Args& args) { return cpu::quadratic_attention_scratch(args); }
  static int64_t scratch_size(const GradArgs& args) { return cpu::quadratic_attention_grad_scratch(args); }
  static void run(const Args& args) { cpu::quadratic_attention(args); }
  static void run(const GradArgs& args) { cpu::quadratic_attention_grad(args); }
};

struct LinearTraits {
  using Options = LinearOptions;
  using Args = kernels::LinearAttentionArgs<float>;
  using GradArgs = kernels::LinearAttentionGradArgs<float>;
  static constexpr const char* kName = "linear_attention";
  static void set(Args& args, const Options&, int64_t key_width) { args.F = key_width; }
  static int64_t scratch_size(const Args& args) { return cpu::linear_attention_scratch(args); }
  static int64_t scratch_size(const GradArgs& args) { return cpu::linear_attention_grad_scratch(args); }
  static void run(const Args& args) { cpu::linear_attention(args); }
  static void run(const GradArgs& args) { cpu::linear_attention_grad(args); }
};

// Options travel through autograd behind a pointer that the saved context owns.
template <class Traits>
struct OptionsHolder : torch::CustomClassHolder {
  explicit OptionsHolder(const typename Traits::Options& o) : options(o) {}
  typename Traits::Options options;
};

template <class Traits>
typename Traits::Args common_args(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& s0, const Tensor& z0,
                                  const typename Traits::Options& options) {
  typename Traits::Args args;
  args.B = q.size(0);
  args.T = q.size(1);
  args.H = q.size(2);
  args.Dv = v.size(3);
  Traits::set(args, options, q.size(3));
  args.q = data(q);
  args.k = data(k);
  args.v = data(v);
  args.s0 = data(s0);
  args.z0 = data(z0);
  args.scale = options.scale;
  args.eps = options.eps;
  args.normalize = options.normalize;
  args.form = options.form;
  args.chunk = options.chunk;
  return args;
}

// Causal attention in linear time, both similarities: (q, k, v, s0, z0) -> (o, sT, zT), the states only when given.
template <class Traits>
class AttentionFunction : public Function<AttentionFunction<Traits>> {
 public:
  static tensor_list forward(AutogradContext* ctx, const Tensor& q_in, const Tensor& k_in, const Tensor& v_in,
                             const MaybeTensor& s_in, const MaybeTensor& z_in,
                             const c10::intrusive_ptr<OptionsHolder<Traits>>& holder) {
    const Tensor q = dense(q_in), k = dense(k_in), v = dense(v_in);
    const Tensor s0 = dense(or_undefined(s_in)), z0 = dense(or_undefined(z_in));
    auto args = common_args<Traits>(q, k, v, s0, z0, holder->options);
    const Tensor o = torch::empty_like(v), z = torch::empty({args.B, args.T, args.H}, v.options());
    const Tensor sT = empty_like_or_none(s0), zT = empty_like_or_none(z0);
    args.o = mutable_data(o);
    args.z = mutable_data(z);
    args.sT = mutable_data(sT);
    args.zT = mutable_data(zT);
    const Tensor work = scratch(Traits::scratch_size(args));
    args.scratch = mutable_data(work);
    Traits::run(args);
    ctx->save_for_backward({q, k, v, s0, z0, o, z});
    ctx->saved_data["options"] = c10::IValue::make_capsule(holder);
    if (!s0.defined()) return {o};
    return {o, sT, zT};
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward(Traits::kName);
    const auto saved = ctx->get_saved_variables();
    const auto holder = ctx->saved_data["options"].toCapsule();
    const auto& options = static_cast<const OptionsHolder<Traits>&>(*holder).options;
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &s0 = saved[3], &z0 = saved[4];
    typename Traits::GradArgs args;
    args.forward = common_args<Traits>(q, k, v, s0, z0, options);
    args.forward.o = mutable_data(saved[5]);
    args.forward.z = mutable_data(saved[6]);
    const Tensor d_o = grads[0].defined() ? dense(grads[0]) : torch::zeros_like(v);
    const Tensor d_sT = s0.defined() ? dense(grads[1]) : Tensor(), d_zT = s0.defined() ? dense(grads[2]) : Tensor();
    const Tensor dq = torch::empty_like(q), dk = torch::empty_like(k), dv = torch::empty_like(v);
    const Tensor d_s0 = empty_like_or_none(s0), d_z0 = empty_like_or_none(z0);
    args.d_o = data(d_o);
    args.d_sT = data(d_sT);
    args.d_zT = data(d_zT);
    args.dq = mutable_data(dq);
    args.dk = mutable_data(dk);
    args.dv = mutable_data(dv);
    args.d_s0 = mutable_data(d_s0);
    args.d_z0 = mutable_data(d_z0);
    const Tensor work = scratch(Traits::scratch_size(args));
    args.scratch = mutable_data(work);
    Traits::run(args);
    return {dq, dk, dv, d_s0, d_z0, Tensor()};
  }
};

template <class Traits>
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const typename Traits::Options& options, Tensor* s,
                 Tensor* z) {
  const auto holder = c10::make_intrusive<OptionsHolder<Traits>>(options);
  const Tensor s0 = s != nullptr ? *s : Tensor(), z0 = z != nullptr ? *z : Tensor();
  tensor_list out = AttentionFunction<Traits>::apply(q, k, v, maybe(s0), maybe(z0), holder);
  if (s != nullptr) {
    *s = out[1];
    *z = out[2];
  }
  return out[0];
}

struct SoftmaxTraits {
  using Options = AttentionOptions;
};

kernels::SoftmaxAttentionArgs<float> softmax_args(const Tensor& q, const Tensor& k, const Tensor& v,
                                                  const Tensor& query_pos, const Tensor& key_pos,
                                                  const AttentionOptions& options) {
  kernels::SoftmaxAttentionArgs<float> args;
  args.B = q.size(0), args.T = q.size(1), args.S = k.size(1);
  args.H = q.size(2), args.Hkv = k.size(2), args.Dk = q.size(3), args.Dv = v.size(3);
  args.q = data(q);
  args.k = data(k);
  args.v = data(v);
  args.query_pos = query_pos.data_ptr<int64_t>();
  args.key_pos = key_pos.data_ptr<int64_t>();
  args.scale = options.scale;
  args.window = options.window;
  args.additive_mask = options.additive_mask;
  return args;
}

class SoftmaxFunction : public Function<SoftmaxFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& q_in, const Tensor& k_in, const Tensor& v_in,
                        const Tensor& query_pos, const Tensor& key_pos,
                        const c10::intrusive_ptr<OptionsHolder<SoftmaxTraits>>& holder) {
    const Tensor q = dense(q_in), k = dense(k_in), v = dense(v_in);
    auto args = softmax_args(q, k, v, query_pos, key_pos, holder->options);
    const Tensor o = torch::empty({args.B, args.T, args.H, args.Dv}, v.options());
    const Tensor lse = torch::empty({args.B, args.T, args.H}, v.options());
    args.o = mutable_data(o);
    args.lse = mutable_data(lse);
    const Tensor work = scratch(cpu::softmax_attention_scratch(args));
    args.scratch = mutable_data(work);
    cpu::softmax_attention(args);
    ctx->save_for_backward({q, k, v, query_pos, key_pos, o, lse});
    ctx->saved_data["options"] = c10::IValue::make_capsule(holder);
    return o;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("softmax_attention");
    const auto saved = ctx->get_saved_variables();
    const auto holder = ctx->saved_data["options"].toCapsule();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    kernels::SoftmaxAttentionGradArgs<float> args;
    args.forward =
        softmax_args(q, k, v, saved[3], saved[4], static_cast<const OptionsHolder<SoftmaxTraits>&>(*holder).options);
    args.forward.o = mutable_data(saved[5]);
    args.forward.lse = mutable_data(saved[6]);
    const Tensor d_o = dense(grads[0]);
    const Tensor dq = torch::empty_like(q), dk = torch::empty_like(k), dv = torch::empty_like(v);
    args.d_o = data(d_o);
    args.dq = mutable_data(dq);
    args.dk = mutable_data(dk);
    args.dv = mutable_data(dv);
    const Tensor work = scratch(cpu::softmax_attention_grad_scratch(args));
    args.scratch = mutable_data(work);
    cpu::softmax_attention_grad(args);
    return {dq, dk, dv, Tensor(), Tensor(), Tensor()};
  }
};

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
    kernels::ThinLinearGradArgs args{.N = x.size(0), .I = x.size(1), .O = w.size(0), .x = data(x), .w = data(w)};
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
class NormFunction : public Function<NormFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const MaybeTensor& gain_in,
                        const MaybeTensor& shift_in, double eps, bool centred) {
    const Tensor x = dense(x_in), gain = dense(or_undefined(gain_in)), shift = dense(or_undefined(shift_in));
    const Tensor y = torch::empty_like(x);
    const int64_t C = x.size(-1), N = C > 0 ? x.numel() / C : 0;
    if (centred) {
      cpu::layer_norm(N, C, data(x), data(gain), data(shift), eps, mutable_data(y));
    } else {
      cpu::rms_norm(N, C, data(x), data(gain), eps, mutable_data(y));
    }
    ctx->save_for_backward({x, gain, shift});
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["centred"] = centred;
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const bool centred = ctx->saved_data["centred"].toBool();
    refuse_double_backward(centred ? "layer_norm" : "rms_norm");
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &gain = saved[1], &shift = saved[2];
    const Tensor dy = dense(grads[0]), dx = torch::empty_like(x);
    const Tensor d_gain = empty_like_or_none(gain), d_shift = empty_like_or_none(shift);
    kernels::NormGradArgs<float> args;
    args.C = x.size(-1);
    args.N = args.C > 0 ? x.numel() / args.C : 0;
    args.x = data(x);
    args.gain = data(gain);
    args.eps = ctx->saved_data["eps"].toDouble();
    args.dy = data(dy);
    args.dx = mutable_data(dx);
    args.d_gain = mutable_data(d_gain);
    args.d_shift = mutable_data(d_shift);
    const Tensor work = scratch(cpu::norm_grad_scratch(args));
    args.scratch = mutable_data(work);
    centred ? cpu::layer_norm_grad(args) : cpu::rms_norm_grad(args);
    return {dx, d_gain, d_shift, Tensor(), Tensor()};
  }
};

class SwigluFunction : public Function<SwigluFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in) {
    const Tensor x = dense(x_in);
    std::vector<int64_t> sizes = x.sizes().vec();
    const int64_t C = sizes.back() /= 2;
    const Tensor y = torch::empty(sizes, x.options());
    cpu::swiglu(C > 0 ? y.numel() / C : 0, C, data(x), mutable_data(y));
    ctx->save_for_backward({x});
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    refuse_double_backward("swiglu");
    const Tensor x = ctx->get_saved_variables()[0], dy = dense(grads[0]), dx = torch::empty_like(x);
    const int64_t C = dy.size(-1);
    cpu::swiglu_grad(C > 0 ? dy.numel() / C : 0, C, data(x), data(dy), mutable_data(dx));
    return {dx};
  }
};

class RopeFunction : public Function<RopeFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& positions, int64_t rotary, double base) {
    ctx->save_for_backward({positions});
    ctx->saved_data["rotary"] = rotary;
    ctx->saved_data["base"] = base;
    return rotated(x, dense(positions), rotary, base);
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

Tensor quadratic_attention(const Tensor& q, const Tensor& k, const Tensor& v, const QuadraticOptions& options,
                           Tensor* s, Tensor* z) {
  return attention<QuadraticTraits>(q, k, v, options, s, z);
}

Tensor linear_attention(const Tensor& q, const Tensor& k, const Tensor& v, const LinearOptions& options, Tensor* s,
                        Tensor* z) {
  return attention<LinearTraits>(q, k, v, options, s, z);
}

Tensor softmax_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& query_pos,
                         const Tensor& key_pos, const AttentionOptions& options) {
  const auto holder = c10::make_intrusive<OptionsHolder<SoftmaxTraits>>(options);
  return SoftmaxFunction::apply(q, k, v, dense(query_pos), dense(key_pos), holder);
}

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
