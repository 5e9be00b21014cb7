#include "golden/golden_check.h"
#include "cores/linear_attention/linear_attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/cpu/cpu_engine.h"
#include "engine/reference/reference_engine.h"
#include "engine/tape/tape_engine.h"
#include "support/torch.h"

namespace rebased::testing {
namespace {

struct Way {
  Form form;
  int64_t chunk;
  const char* name;
};

constexpr Way kWays[] = {{Form::kParallel, 0, "parallel"},
                         {Form::kAuto, 0, "auto"},
                         {Form::kChunked, 0, "chunked"},
                         {Form::kChunked, 5, "chunked by 5"},
                         {Form::kRecurrent, 0, "recurrent"}};

using Bound = std::function<double(const Computation::Checked&)>;

void compare(const Computation::Checked& checked, const HostArray& found, const Bound& bound, const std::string& who) {
  const std::string problem = difference(checked.name, found, checked.expected, bound(checked));
  EXPECT_EQ(problem, "") << who;
}

void compare_outputs(const Computation& computation, const Bound& bound, const std::string& who) {
  for (const auto& checked : computation.outputs) compare(checked, read(checked.value), bound, who);
}

void compare_gradients(const Computation& computation, const Bound& bound, const std::string& who) {
  std::vector<Value> leaves;
  for (const auto& checked : computation.gradients) leaves.push_back(checked.value);
  if (leaves.empty()) return;
  const auto found = gradients(computation.loss, leaves);
  for (size_t i = 0; i < leaves.size(); ++i) {
    const auto& checked = computation.gradients[i];
    if (found[i]) {
      compare(checked, *found[i], bound, who);
    } else {
      ADD_FAILURE() << checked.name << " got no gradient; " << who;
    }
  }
}

}  // namespace

double rounding_bound(const HostArray& expected) { return 2e-7 * expected.max_abs() + 1e-9; }

Value leaf(Engine& engine, const HostArray& x) {
  Value value = write(engine, x);
  if (engine.autograd() != nullptr) track(value);
  return value;
}

std::vector<std::unique_ptr<Engine>> float64_engines() {
  std::vector<std::unique_ptr<Engine>> engines;
  engines.push_back(std::make_unique<ReferenceEngine>());
  if (auto composite = make_torch_engine(DType::kF64)) engines.push_back(std::move(composite));
  return engines;
}

std::vector<std::unique_ptr<Engine>> float32_with_gradients() {
  std::vector<std::unique_ptr<Engine>> engines;
  engines.push_back(std::make_unique<TapeEngine>());
  if (auto kernels = make_torch_engine(DType::kF32)) engines.push_back(std::move(kernels));
  return engines;
}

void check_golden(const Golden& golden, Ordering ordering, const Compute& compute, double formula) {
  const auto doubles = float64_engines();
  const auto singles = float32_with_gradients();
  CpuEngine cpu;
  for (const Way& way : kWays) {
    if (ordering != Ordering::kForms && way.form != Form::kAuto) continue;
    const bool other = ordering == Ordering::kForms && way.form != Form::kParallel;
    const auto or_formula = [&](double bound, const auto& checked) {
      return std::max(bound, formula * checked.expected.max_abs());
    };
    const Bound sharp = [&](const auto& checked) { return or_formula(rounding_bound(checked.expected), checked); };
    const Bound single = [&](const auto& checked) { return or_formula(golden.atol(checked.name, other), checked); };
    const std::string form = fmt::format(" ({})", way.name);
    for (const auto& engine : doubles) {
      const Computation in_double = compute(*engine, way.form, way.chunk);
      compare_outputs(in_double, sharp, engine->name() + " float64" + form);
      compare_gradients(in_double, sharp, engine->name() + " float64" + form);
    }
    for (const auto& engine : singles) {
      const Computation in_single = compute(*engine, way.form, way.chunk);
      compare_outputs(in_single, single, engine->name() + " float32" + form);
      compare_gradients(in_single, single, engine->name() + " float32" + form);
    }
    compare_outputs(compute(cpu, way.form, way.chunk), single, "cpu engine" + form);
  }
}

}  // namespace rebased::testing
