#include "cores/linear_attention/kernel.h"

#include "kernels/causal/problem.h"

namespace rebased::kernels::cpu {
namespace {

// The features take the place of keys: similarity 0 + x + 0 x^2, one state row a feature.
attention::Problem problem_of(const LinearAttentionArgs<float>& args) {
  attention::Problem x = attention::problem_of_sums(args);
  x.Dk = x.F = args.F, x.N = args.T;
  return x;
}

attention::Problem problem_of(const LinearAttentionGradArgs<float>& args) {
  return attention::with_gradients(problem_of(args.forward), args);
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
