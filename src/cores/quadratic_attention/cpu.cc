#include "cores/quadratic_attention/kernel.h"

#include "kernels/causal/problem.h"

namespace rebased::kernels::cpu {
namespace {

attention::Problem problem_of(const QuadraticAttentionArgs<float>& args) {
  attention::Problem x;
  x.B = args.B, x.T = args.T, x.H = args.H, x.Dk = args.Dk, x.Dv = args.Dv;
  x.N = args.queries != nullptr ? args.N : args.T, x.queries = args.queries;
  x.F = quadratic_feature_count(args.Dk, args.kernel);
  x.q = args.q, x.k = args.k, x.v = args.v;
  x.a = static_cast<float>(args.kernel.a), x.constant = args.kernel.a != 0;
  x.b = static_cast<float>(args.kernel.b), x.linear = args.kernel.b != 0;
  x.c = static_cast<float>(args.kernel.c), x.quadratic = args.kernel.c != 0;
  x.scale = static_cast<float>(args.scale), x.eps = static_cast<float>(args.eps);
  x.normalize = args.normalize;
  x.o = args.o, x.z = args.z;
  x.s0 = args.s0, x.z0 = args.z0, x.sT = args.sT, x.zT = args.zT;
  x.form = args.form, x.chunk = args.chunk, x.scratch = args.scratch;
  return x;
}

attention::Problem problem_of(const QuadraticAttentionGradArgs<float>& args) {
  attention::Problem x = problem_of(args.forward);
  x.sT = x.zT = nullptr;
  x.d_o = args.d_o, x.d_sT = args.d_sT, x.d_zT = args.d_zT;
  x.dq = args.dq, x.dk = args.dk, x.dv = args.dv, x.d_s0 = args.d_s0, x.d_z0 = args.d_z0;
  x.scratch = args.scratch;
  return x;
}

}  // namespace

Form choose_form(const QuadraticAttentionArgs<float>& args) noexcept {
  return attention::choose_form(problem_of(args));
}

int64_t quadratic_attention_scratch(const QuadraticAttentionArgs<float>& args) noexcept {
  return attention::scratch_floats(problem_of(args), false);
}

int64_t quadratic_attention_grad_scratch(const QuadraticAttentionGradArgs<float>& args) noexcept {
  return attention::scratch_floats(problem_of(args), true);
}

void quadratic_attention(const QuadraticAttentionArgs<float>& args) noexcept { attention::forward(problem_of(args)); }

void quadratic_attention_grad(const QuadraticAttentionGradArgs<float>& args) noexcept {
  attention::backward(problem_of(args));
}

}  // namespace rebased::kernels::cpu
