#include "cores/composites.h"
#include "cores/rope/rope.h"

namespace rebased {

using torch::Tensor;

std::vector<Tensor> rope_composite(const Core& core, const std::vector<Tensor>& operands,
                                   std::vector<Tensor>& /*states*/) {
  const Tensor& x = operands[0];
  const RopeOptions& options = static_cast<const RopeCore&>(core).options;
  const int64_t D = x.size(3), rotary = options.rotary == 0 ? D : options.rotary, half = rotary / 2;
  const auto f64 = torch::TensorOptions().dtype(torch::kFloat64).device(x.device());
  const Tensor frequency = torch::pow(options.base, torch::arange(half, f64) * (-2.0 / static_cast<double>(rotary)));
  const Tensor positions = operands[1].to(torch::kFloat64).unsqueeze(-1).unsqueeze(-1);
  const Tensor angle = positions * frequency;  // [B, T, 1, half]
  const Tensor cos = angle.cos().to(x.scalar_type()), sin = angle.sin().to(x.scalar_type());
  const Tensor first = x.narrow(3, 0, half), second = x.narrow(3, half, half);
  return {torch::cat({first * cos - second * sin, second * cos + first * sin, x.narrow(3, rotary, D - rotary)}, 3)};
}

}  // namespace rebased
