#include "engine/torch/kernel_functions.h"
#include "engine/torch/kernel_tensors.h"
#include "kernels/linear_attention.h"
#include "kernels/quadratic_attention.h"
#include "kernels/softmax_attention.h"

namespace rebased::kernel_functions {
namespace {

namespace cpu = kernels::cpu;

struct QuadraticTraits {
  using Options = QuadraticOptions;
  using Args = kernels::QuadraticAttentionArgs<float>;
  using GradArgs = kernels::QuadraticAttentionGradArgs<float>;
  static constexpr const char* kName = "quadratic_attention";
  static void set(Args& args, const Options& options, const Tensor& q) {
    args.Dk = q.size(3);
    args.kernel = options.kernel;
    if (!options.queries.empty()) args.N = q.size(1), args.queries = options.queries.data();
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
  static void set(Args& args, const Options&, const Tensor& q) { args.F = q.size(3); }
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
  args.T = k.size(1);
  args.H = q.size(2);
  args.Dv = v.size(3);
  Traits::set(args, options, q);
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
    const Tensor o = torch::empty({args.B, q.size(1), args.H, args.Dv}, v.options());
    const Tensor z = torch::empty({args.B, q.size(1), args.H}, v.options());
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
    const Tensor d_o = grads[0].defined() ? dense(grads[0]) : torch::zeros_like(saved[5]);
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
  args.dropout = options.dropout;
  args.dropout_key = options.dropout_key;
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

}  // namespace rebased::kernel_functions
