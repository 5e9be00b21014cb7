#include "cores/quadratic_attention/kernel.h"

#include "cores/linear_attention/cpu_documents.h"

namespace rebased::kernels::cpu {
namespace {

attention::Problem problem_of(const QuadraticAttentionArgs<float>& args) {
  attention::Problem x = attention::problem_of_sums(args);
  x.Dk = args.Dk, x.F = quadratic_feature_count(args.Dk, args.kernel);
  x.N = args.queries != nullptr ? args.N : args.T, x.queries = args.queries;
  x.a = static_cast<float>(args.kernel.a), x.constant = args.kernel.a != 0;
  x.b = static_cast<float>(args.kernel.b), x.linear = args.kernel.b != 0;
  x.c = static_cast<float>(args.kernel.c), x.quadratic = args.kernel.c != 0;
  return x;
}

attention::Problem problem_of(const QuadraticAttentionGradArgs<float>& args) {
  return attention::with_gradients(problem_of(args.forward), args);
}

}  // namespace

Form choose_form(const QuadraticAttentionArgs<float>& args) noexcept {
  return attention::choose_form(problem_of(args));
}

int64_t quadratic_attention_scratch(const QuadraticAttentionArgs<float>& args) noexcept {
  if (args.positions == nullptr) return attention::scratch_floats(problem_of(args), false);
  return attention::documents_scratch(args, false,
                                      [&](const Document& d) { return problem_of(document_args(args, d)); });
}

int64_t quadratic_attention_grad_scratch(const QuadraticAttentionGradArgs<float>& args) noexcept {
  if (args.forward.positions == nullptr) return attention::scratch_floats(problem_of(args), true);
  return attention::documents_scratch(args.forward, true,
                                      [&](const Document& d) { return problem_of(document_grad_args(args, d)); });
}

void quadratic_attention(const QuadraticAttentionArgs<float>& args) noexcept {
  if (args.positions == nullptr) return attention::forward(problem_of(args));
  attention::forward_documents(args,
                               [](const QuadraticAttentionArgs<float>& document) { return problem_of(document); });
}

void quadratic_attention_grad(const QuadraticAttentionGradArgs<float>& args) noexcept {
  if (args.forward.positions == nullptr) return attention::backward(problem_of(args));
  attention::backward_documents(args,
                                [](const QuadraticAttentionGradArgs<float>& document) { return problem_of(document); });
}

}  // namespace rebased::kernels::cpu
