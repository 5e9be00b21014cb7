#include "cores/linear_attention/kernel.h"

#include "cores/linear_attention/cpu_decay.h"
#include "cores/linear_attention/cpu_documents.h"

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

Form choose_form(const LinearAttentionArgs<float>& args) noexcept {
  if (args.decay != Decay::kNone) return decayed::make_plan(args, false).form;
  return attention::choose_form(problem_of(args));
}

int64_t linear_attention_scratch(const LinearAttentionArgs<float>& args) noexcept {
  if (args.decay != Decay::kNone) return decayed::scratch_floats(args);
  if (args.positions == nullptr) return attention::scratch_floats(problem_of(args), false);
  return attention::documents_scratch(args, false,
                                      [&](const Document& d) { return problem_of(document_args(args, d)); });
}

int64_t linear_attention_grad_scratch(const LinearAttentionGradArgs<float>& args) noexcept {
  if (args.forward.decay != Decay::kNone) return decayed::scratch_floats(args);
  if (args.forward.positions == nullptr) return attention::scratch_floats(problem_of(args), true);
  return attention::documents_scratch(args.forward, true,
                                      [&](const Document& d) { return problem_of(document_grad_args(args, d)); });
}

void linear_attention(const LinearAttentionArgs<float>& args) noexcept {
  if (args.decay != Decay::kNone) return decayed::forward(args);
  if (args.positions == nullptr) return attention::forward(problem_of(args));
  attention::forward_documents(args, [](const LinearAttentionArgs<float>& document) { return problem_of(document); });
}

void linear_attention_grad(const LinearAttentionGradArgs<float>& args) noexcept {
  if (args.forward.decay != Decay::kNone) return decayed::backward(args);
  if (args.forward.positions == nullptr) return attention::backward(problem_of(args));
  attention::backward_documents(args,
                                [](const LinearAttentionGradArgs<float>& document) { return problem_of(document); });
}

}  // namespace rebased::kernels::cpu
