#include "cores/linear_attention/kernel.h"

#include "kernels/causal/problem.h"

namespace rebased::kernels::cpu {
namespace {

// The features take the place of keys: similarity 0 + x + 0 x^2, one state row a feature.
attention::Problem problem_of(const LinearAttentionArgs<float>& args) {
  attention::Problem x;
  x.B = args.B, x.T = args.T, x.H = args.H, x.Dk = args.F, x.Dv = args.Dv, x.F = args.F, x.N = args.T;
  x.q = args.q, x.k = args.k, x.v = args.v;
  x.scale = static_cast<float>(args.scale), x.eps = static_cast<float>(args.eps);
  x.normalize = args.normalize;
  x.o = args.o, x.z = args.z;
  x.s0 = args.s0, x.z0 = args.z0, x.sT = args.sT, x.zT = args.zT;
  x.form = args.form, x.chunk = args.chunk, x.scratch = args.scratch;
  return x;
}

attention::Problem problem_of(const LinearAttentionGradArgs<float>& args) {
  attention::Problem x = problem_of(args.forward);
  x.sT = x.zT = nullptr;
  x.d_o = args.d_o, x.d_sT = args.d_sT, x.d_zT = args.d_zT;
  x.dq = args.dq, x.dk = args.dk, x.dv = args.dv, x.d_s0 = args.d_s0, x.d_z0 = args.d_z0;
  x.scratch = args.scratch;
  return x;
}

}  // namespace

Form choose_form(const LinearAttentionArgs<float>& args) noexcept { return attention::choose_form(problem_of(args)); }

int64_t linear_attention_scratch(const LinearAttentionArgs<float>& args) noexcept {
  return attention::scratch_floats(problem_of(args), false);
}

int64_t linear_attention_grad_scratch(const LinearAttentionGradArgs<float>& args) noexcept {
  return attention::scratch_floats(problem_of(args), true);
}

void linear_attention(const LinearAttentionArgs<float>& args) noexcept { attention::forward(problem_of(args)); }

void linear_attention_grad(const LinearAttentionGradArgs<float>& args) noexcept {
  attention::backward(problem_of(args));
}

}  // namespace rebased::kernels::cpu
