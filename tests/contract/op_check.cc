#include "contract/op_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/cpu/cpu_engine.h"
#include "engine/tape/tape_engine.h"
#include "support/torch.h"

namespace rebased::testing {
namespace {

std::string describe(const std::vector<Shape>& shapes) {
  std::string text;
  for (const Shape& shape : shapes) text += shape.str() + " ";
  return text;
}

double scale_of(const HostArray& exact) { return std::max(exact.max_abs(), 0.1); }

}  // namespace

std::vector<HostArray> operands_of(const OpRow& row, const std::vector<Shape>& shapes) {
  std::vector<HostArray> operands;
  for (size_t i = 0; i < shapes.size(); ++i) {
    operands.push_back(HostArray::normal(shapes[i], derive_key(5, row.name, i)));
    if (!row.positive) continue;
    for (double& x : operands.back().data) x = static_cast<float>(std::abs(x));
  }
  return operands;
}

OpResult carry_out(const OpRow& row, Engine& engine, const std::vector<HostArray>& arrays, bool with_gradients) {
  std::vector<Value> operands;
  for (const HostArray& array : arrays) operands.push_back(write(engine, array));
  if (with_gradients) {
    for (const Value& operand : operands) track(operand);
  }
  OpResult result;
  std::vector<Weighted> loss;
  for (const Value& output : row.run(engine, operands)) {
    result.outputs.push_back(read(output));
    loss.push_back({output, HostArray::normal(output.shape(), derive_key(6, row.name))});
  }
  if (with_gradients) result.grads = gradients(loss, operands);
  return result;
}

std::string disagreement(const OpRow& row, const std::vector<Shape>& shapes) {
  const auto f64 = make_torch_engine(DType::kF64), f32 = make_torch_engine(DType::kF32);
  CpuEngine cpu;
  TapeEngine tape;
  const std::vector<HostArray> operands = operands_of(row, shapes);
  const OpResult exact = carry_out(row, *f64, operands, row.gradient), inference = carry_out(row, cpu, operands, false);
  const std::pair<const char*, OpResult> trained[] = {{"torch float32", carry_out(row, *f32, operands, row.gradient)},
                                                      {"cpu training", carry_out(row, tape, operands, row.gradient)}};
  std::string found;
  auto compare = [&](const std::string& what, const HostArray& a, const HostArray& b, double bound) {
    const std::string apart = difference(what, a, b, bound);
    if (!apart.empty()) found += fmt::format("{}, operands {}\n", apart, describe(shapes));
  };
  for (size_t i = 0; i < exact.outputs.size(); ++i) {
    const HostArray& expected = exact.outputs[i];
    const double bound = row.tolerance * scale_of(expected);
    for (const auto& [name, ours] : trained) {
      compare(fmt::format("{}, output {}", name, i), ours.outputs.at(i), expected, bound);
    }
    compare(fmt::format("cpu, output {}", i), inference.outputs.at(i), expected, bound);
  }
  for (size_t i = 0; i < exact.grads.size(); ++i) {
    for (const auto& [name, ours] : trained) {
      if (ours.grads.at(i).has_value() != exact.grads[i].has_value()) {
        found += fmt::format("operand {} has a gradient on one of two engines only: {}, torch float64\n", i, name);
      } else if (exact.grads[i]) {
        compare(fmt::format("{}, gradient of operand {}", name, i), *ours.grads[i], *exact.grads[i],
                10 * row.tolerance * scale_of(*exact.grads[i]));
      }
    }
  }
  return found;
}

}  // namespace rebased::testing
