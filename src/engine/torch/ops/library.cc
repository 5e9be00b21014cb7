#include <torch/library.h>

#include "base/error.h"
#include "base/shape.h"
#include "cores/composites.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "cores/short_conv/short_conv.h"
#include "engine/torch/core_function.h"
#include "engine/torch/kernel_functions.h"

// torch.ops.rebased.*: differentiable operations on tensors laid out as in docs/notation.md. float32 on the CPU runs
// our kernels, everything else the composite torch form.
namespace rebased::torch_ops {
namespace {

using torch::Tensor;

bool uses_kernels(const Tensor& x) { return x.is_cpu() && x.scalar_type() == torch::kFloat32; }

Shape shape_of(const Tensor& x) { return Shape(std::span<const int64_t>(x.sizes().data(), x.sizes().size())); }

// The first result of a core on whole sequences; an operand that is undefined or left out at the end is absent.
Tensor run(std::shared_ptr<const Core> core, std::vector<Tensor> operands) {
  operands.resize(core->signature().operands.size());
  std::vector<Shape> shapes;
  for (const Tensor& operand : operands) shapes.push_back(operand.defined() ? shape_of(operand) : Shape());
  std::vector<const Shape*> given;
  for (size_t i = 0; i < operands.size(); ++i) given.push_back(operands[i].defined() ? &shapes[i] : nullptr);
  const CoreUse use = bind_core(std::move(core), given, {});
  std::vector<Tensor> states;
  if (uses_kernels(operands.front())) return run_core_kernels(use, operands, states).front();
  return composite_of(*use.core)(*use.core, operands, states).front();
}

// q, k [B, T, H, Dk], v [B, T, H, Dv] -> [B, T, H, Dv]; similarity a + b s + c s^2 of s = scale <q, k>.
Tensor quadratic_attention(const Tensor& q, const Tensor& k, const Tensor& v, double a, double b, double c,
                           double scale, double eps, bool normalize) {
  const QuadraticOptions options{.kernel = {a, b, c}, .scale = scale, .eps = eps, .normalize = normalize};
  const auto core = std::make_shared<QuadraticAttentionCore>(options);
  if (q.size(-1) <= kernels::kMaxKeyDim) return run(core, {q, k, v});
  std::vector<Tensor> none;
  return composite_of(*core)(*core, {q, k, v, Tensor()}, none).front();
}

// q, k [B, T, H, F] already mapped, v [B, T, H, Dv] -> [B, T, H, Dv].
Tensor linear_attention(const Tensor& q, const Tensor& k, const Tensor& v, double scale, double eps, bool normalize) {
  const LinearOptions options{.scale = scale, .eps = eps, .normalize = normalize};
  return run(std::make_shared<LinearAttentionCore>(options), {q, k, v});
}

// x [B, T, C], w [C, K], bias [C] or None -> [B, T, C].
Tensor short_conv(const Tensor& x, const Tensor& w, const c10::optional<Tensor>& bias, bool silu) {
  return run(std::make_shared<ShortConvCore>(silu), {x, w, bias ? *bias : Tensor()});
}

// x [N, C], e [V, C], labels [N] i64 in [0, V) -> mean cross-entropy of the logits x e^T, which are never stored.
Tensor cross_entropy(const Tensor& x, const Tensor& e, const Tensor& labels) {
  Dims("rebased::cross_entropy")
      .check("x", shape_of(x), "N C")
      .check("e", shape_of(e), "V C")
      .check("labels", shape_of(labels), "N");
  if (labels.numel() == 0 || labels.min().item<int64_t>() < 0 || labels.max().item<int64_t>() >= e.size(0)) {
    throw ShapeError("[rebased::cross_entropy] labels: expected at least one, each in [0, {})", e.size(0));
  }
  if (uses_kernels(x)) return kernel_functions::cross_entropy(x, e, labels.contiguous())[0];
  return torch::nll_loss(torch::log_softmax(torch::mm(x, e.t()), -1), labels);
}

}  // namespace

TORCH_LIBRARY(rebased, library) {
  library.def(
      "quadratic_attention(Tensor q, Tensor k, Tensor v, float a=0., float b=0., float c=1., float scale=1., "
      "float eps=1e-12, bool normalize=True) -> Tensor",
      quadratic_attention);
  library.def(
      "linear_attention(Tensor q, Tensor k, Tensor v, float scale=1., float eps=1e-12, bool normalize=True) -> Tensor",
      linear_attention);
  library.def("short_conv(Tensor x, Tensor w, Tensor? bias=None, bool silu=False) -> Tensor", short_conv);
  library.def("cross_entropy(Tensor x, Tensor e, Tensor labels) -> Tensor", cross_entropy);
}

}  // namespace rebased::torch_ops
