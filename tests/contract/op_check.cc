#include "contract/op_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "contract/subject.h"

namespace rebased::testing {
namespace {

double bound_of(const OpRow& row, const EngineCase& where, const HostArray& exact) {
  return where.factor * row.tolerance * std::max(exact.max_abs(), 0.1);
}

// The sentences about one row at one size.
class Findings {
 public:
  explicit Findings(const std::vector<Shape>& shapes) {
    for (const Shape& shape : shapes) operands_ += shape.str() + " ";
  }
  void note(const std::string& sentence) {
    if (!sentence.empty()) text_ += fmt::format("{}, operands {}\n", sentence, operands_);
  }
  const std::string& text() const { return text_; }

 private:
  std::string operands_, text_;
};

std::vector<EngineCase> cases_for(const OpRow& row) {
  std::vector<EngineCase> cases = every_case();
  std::erase_if(cases, [&](const EngineCase& where) { return where.composites && !row.composed; });
  return cases;
}

std::vector<Value> write_all(Engine& engine, const std::vector<HostArray>& arrays) {
  std::vector<Value> values;
  for (const HostArray& array : arrays) values.push_back(write(engine, array));
  return values;
}

std::vector<HostArray> read_all(const std::vector<Value>& values) {
  std::vector<HostArray> arrays;
  for (const Value& value : values) arrays.push_back(read(value));
  return arrays;
}

HostArray weight_of(const OpRow& row, const Shape& shape) { return HostArray::normal(shape, derive_key(6, row.name)); }

double dot(const HostArray& a, const HostArray& b) {
  double sum = 0;
  for (size_t i = 0; i < a.data.size(); ++i) sum += a.data[i] * b.data[i];
  return sum;
}

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
  const std::vector<Value> operands = write_all(engine, arrays);
  if (with_gradients) {
    for (const Value& operand : operands) track(operand);
  }
  OpResult result;
  std::vector<Weighted> loss;
  std::vector<Value> given = operands;
  for (const Value& output : row.run(engine, given)) {
    result.outputs.push_back(read(output));
    loss.push_back({output, weight_of(row, output.shape())});
  }
  if (with_gradients) result.grads = gradients(loss, operands);
  return result;
}

std::string disagreement(const OpRow& row, const std::vector<Shape>& shapes) {
  Findings findings(shapes);
  const std::vector<HostArray> operands = operands_of(row, shapes);
  const OpResult exact = carry_out(row, *reference_case().engine, operands, row.gradient);
  for (const EngineCase& where : cases_for(row)) {
    const bool graded = row.gradient && where.engine->autograd() != nullptr;
    const OpResult found = carry_out(row, *where.engine, operands, graded);
    for (size_t i = 0; i < exact.outputs.size(); ++i) {
      findings.note(difference(fmt::format("{}, output {}", where.name, i), found.outputs.at(i), exact.outputs[i],
                               bound_of(row, where, exact.outputs[i])));
    }
    for (size_t i = 0; i < found.grads.size(); ++i) {
      if (found.grads[i].has_value() != exact.grads[i].has_value()) {
        findings.note(
            fmt::format("operand {} has a gradient on one of two engines only: {}, reference", i, where.name));
      } else if (exact.grads[i]) {
        findings.note(difference(fmt::format("{}, gradient of operand {}", where.name, i), *found.grads[i],
                                 *exact.grads[i], 10 * bound_of(row, where, *exact.grads[i])));
      }
    }
  }
  return findings.text();
}

namespace {

constexpr double kStep = 1e-5;  // of the central difference along a direction: its error is about kStep^2

// The weighed sum of the outputs, with operand i moved by `step` along a direction.
double loss_of(const OpRow& row, Engine& engine, std::vector<HostArray> operands, size_t i, const HostArray& direction,
               double step) {
  for (size_t j = 0; j < direction.data.size(); ++j) operands[i].data[j] += step * direction.data[j];
  double sum = 0;
  for (const HostArray& output : carry_out(row, engine, operands, false).outputs) {
    sum += dot(output, weight_of(row, output.shape));
  }
  return sum;
}

}  // namespace

// One direction of length one for each operand, in which every element takes part.
std::string wrong_derivatives(const OpRow& row, const std::vector<Shape>& shapes) {
  if (!row.gradient || !row.derivative) return "";
  Findings findings(shapes);
  const EngineCase exact = reference_case();
  const std::vector<HostArray> operands = operands_of(row, shapes);
  const OpResult found = carry_out(row, *exact.engine, operands, true);
  for (size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].data.empty()) continue;
    HostArray direction = HostArray::normal(shapes[i], derive_key(7, row.name, i));
    const double length = std::sqrt(dot(direction, direction));
    for (double& x : direction.data) x /= length;
    auto loss = [&](double step) { return loss_of(row, *exact.engine, operands, i, direction, step); };
    const double by_difference = (loss(kStep) - loss(-kStep)) / (2 * kStep);
    const double by_gradient = found.grads[i] ? dot(*found.grads[i], direction) : 0;
    const double scale = found.grads[i] ? std::max(1.0, std::sqrt(dot(*found.grads[i], *found.grads[i]))) : 1;
    if (std::abs(by_gradient - by_difference) <= 1e-6 * scale) continue;
    findings.note(fmt::format("the slope of operand {} is {:.9g} by its gradient, {:.9g} by finite differences", i,
                              by_gradient, by_difference));
  }
  return findings.text();
}

std::string harm_in_place(const OpRow& row, const std::vector<Shape>& shapes) {
  Findings findings(shapes);
  const std::vector<HostArray> operands = operands_of(row, shapes);
  for (const EngineCase& where : cases_for(row)) {
    const std::vector<HostArray> expected = carry_out(row, *where.engine, operands, false).outputs;
    std::vector<Value> given = write_all(*where.engine, operands);
    const std::vector<HostArray> found = read_all(row.run(*where.engine, given));
    for (size_t i = 0; i < found.size(); ++i) {
      findings.note(difference(fmt::format("{} in place, output {}", where.name, i), found[i], expected[i],
                               bound_of(row, where, expected[i])));
    }
  }
  return findings.text();
}

namespace {

// The outputs for tokens begin .. end alone; the states are taken, and given back advanced.
HostArray run_part(const OpRow& row, Engine& engine, const std::vector<HostArray>& operands, int64_t begin, int64_t end,
                   std::vector<Value>& states) {
  std::vector<Value> given;
  for (size_t i = 0; i + states.size() < operands.size(); ++i) {
    const bool in_time = i < static_cast<size_t>(row.in_time);
    given.push_back(write(engine, in_time ? operands[i].sliced(1, begin, end - begin) : operands[i]));
  }
  std::move(states.begin(), states.end(), std::back_inserter(given));
  const std::vector<Value> outputs = row.run(engine, given);
  states.assign(outputs.begin() + 1, outputs.begin() + 1 + row.states);
  return read(outputs.front());
}

}  // namespace

std::string broken_law(const OpRow& row, const std::vector<Shape>& shapes) {
  if (row.states == 0) return "";
  Findings findings(shapes);
  const std::vector<HostArray> operands = operands_of(row, shapes);
  const auto first_state = operands.end() - row.states;
  const int64_t T = shapes[0][1], middle = T / 2;
  for (const EngineCase& where : cases_for(row)) {
    const OpResult whole = carry_out(row, *where.engine, operands, false);
    std::vector<Value> states = write_all(*where.engine, {first_state, operands.end()});
    auto compare = [&](const std::string& what, const HostArray& found, const HostArray& expected) {
      findings.note(difference(fmt::format("{} in two parts, {}", where.name, what), found, expected,
                               bound_of(row, where, expected)));
    };
    if (middle > 0) {
      compare("first", run_part(row, *where.engine, operands, 0, middle, states),
              whole.outputs[0].sliced(1, 0, middle));
    }
    compare("second", run_part(row, *where.engine, operands, middle, T, states),
            whole.outputs[0].sliced(1, middle, T - middle));
    for (size_t i = 0; i < states.size(); ++i) {
      compare(fmt::format("state {}", i), read(states[i]), whole.outputs[1 + i]);
    }
  }
  return findings.text();
}

const std::vector<OpPromise>& op_promises() {
  static const std::vector<OpPromise> all = {
      {"Engines", disagreement}, {"Derivatives", wrong_derivatives}, {"InPlace", harm_in_place}, {"Law", broken_law}};
  return all;
}

}  // namespace rebased::testing
