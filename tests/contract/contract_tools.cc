#include "contract/contract_tools.h"

#include <fmt/format.h>

#include <optional>

namespace rebased::testing {

bool is_causal(const Subject& subject) {
  const EngineCase where = cpu_case();
  return build(subject, *where.engine)->mixer->traits().causal;
}

void note(Violations& violations, const std::string& problem) {
  if (!problem.empty()) violations.push_back(problem);
}

HostArray joined_time(const std::vector<HostArray>& parts) {
  HostArray result{parts.front().shape, {}};
  result.shape[1] = 0;
  for (const HostArray& part : parts) result.shape[1] += part.shape[1];
  for (int64_t b = 0; b < result.shape[0]; ++b) {
    for (const HostArray& part : parts) {
      const HostArray row = part.sliced(0, b, 1);
      result.data.insert(result.data.end(), row.data.begin(), row.data.end());
    }
  }
  return result;
}

HostArray rows_of(const HostArray& x, std::span<const int64_t> rows) {
  HostArray result{x.shape.with(0, static_cast<int64_t>(rows.size())), {}};
  for (int64_t row : rows) {
    const HostArray one = x.sliced(0, row, 1);
    result.data.insert(result.data.end(), one.data.begin(), one.data.end());
  }
  return result;
}

const std::vector<int64_t>& some_outputs() {
  static const std::vector<int64_t> tokens = {0, 7, 8, 22, 3, 4, 15, 21};
  return tokens;
}

HostArray at_outputs(const HostArray& y) {
  const int64_t N = static_cast<int64_t>(some_outputs().size()) / 2;
  HostArray result{y.shape.with(1, N), {}};
  for (size_t i = 0; i < some_outputs().size(); ++i) {
    const HostArray one = y.sliced(0, static_cast<int64_t>(i) / N, 1).sliced(1, some_outputs()[i], 1);
    result.data.insert(result.data.end(), one.data.begin(), one.data.end());
  }
  return result;
}

void compare_states(Violations& violations, const std::string& what, const MixerState& found,
                    const MixerState& expected, const Subject& subject, const EngineCase& where) {
  if (found.positions != expected.positions) violations.push_back(what + ": positions differ");
  if (found.arrays().size() != expected.arrays().size()) {
    violations.push_back(what + ": the states have different arrays");
    return;
  }
  for (size_t i = 0; i < found.arrays().size(); ++i) {
    const HostArray exact = read(expected.arrays()[i].value);
    note(violations, difference(fmt::format("{}, state {}", what, expected.arrays()[i].name),
                                read(found.arrays()[i].value), exact, where.bound(subject, exact)));
  }
}

HostArray loss_weights(const Shape& shape) { return HostArray::normal(shape, derive_key(3, "loss")); }

Graded graded(Built& built, const HostArray& x_in, const MakeLoss& make_loss) {
  Graded result;
  const Value x = write(*built.engine, x_in);
  track(x);
  result.names.emplace_back("x");
  result.leaves.push_back(x);
  for (const Param& param : built.store.params()) {
    if (!param.spec.trainable) continue;
    result.names.push_back(param.spec.name);
    result.leaves.push_back(param.value);
  }
  const std::vector<Weighted> loss = make_loss(built, x);
  result.y = read(loss.front().output);
  result.grads = gradients(loss, result.leaves);
  return result;
}

void compare_graded(Violations& violations, const std::string& what, const Graded& found, const Graded& exact,
                    const Subject& subject, const EngineCase& where) {
  note(violations, difference(what + ", output", found.y, exact.y, where.bound(subject, exact.y)));
  for (size_t i = 0; i < exact.grads.size(); ++i) {
    if (found.grads[i].has_value() != exact.grads[i].has_value()) {
      violations.push_back(fmt::format("{}: {} gets a gradient in one of two ways only", what, exact.names[i]));
    } else if (exact.grads[i]) {
      const double bound = kGradientFactor * where.bound(subject, *exact.grads[i]);
      note(violations, difference(fmt::format("{}, gradient of {}", what, exact.names[i]), *found.grads[i],
                                  *exact.grads[i], bound));
    }
  }
}

}  // namespace rebased::testing
