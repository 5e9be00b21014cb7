#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "cores/core_case.h"
#include "cores/core_run.h"
#include "kernels/kernel_buffers.h"

namespace rebased::testing {

void PrintTo(const CoreFamily& family, std::ostream* out) { *out << family.folder; }

namespace {

using kernels::for_each_target;
using kernels::for_each_thread_count;

class Cores : public ::testing::TestWithParam<CoreFamily> {};

double largest(const Numbers& numbers) {
  double most = 0;
  for (double x : numbers) most = std::max(most, std::abs(x));
  return most;
}

// NaN is never near.
void expect_near(const CoreOutputs& got, const CoreOutputs& want, const CoreCase& c) {
  ASSERT_EQ(got.arrays.size(), want.arrays.size()) << c.str();
  for (size_t a = 0; a < want.arrays.size(); ++a) {
    const Numbers &g = got.arrays[a].numbers, &w = want.arrays[a].numbers;
    ASSERT_EQ(g.size(), w.size()) << c.str() << ", " << want.arrays[a].name;
    const double bound = c.tolerance * (want.arrays[a].gradient ? 10 : 1) * std::max(largest(w), 0.1);
    for (size_t i = 0; i < w.size(); ++i) {
      ASSERT_TRUE(g[i] == w[i] || std::abs(g[i] - w[i]) <= bound)
          << c.str() << ", " << want.arrays[a].name << "[" << i << "]: the kernel has " << g[i] << ", the reference "
          << w[i] << ", at most " << bound << " apart";
    }
  }
}

void expect_equal(const CoreOutputs& got, const CoreOutputs& want, const CoreCase& c, const char* what) {
  for (const CoreOutputs::Array& array : got.arrays) {
    const Numbers& w = want.at(array.name);
    for (size_t i = 0; i < w.size(); ++i) {
      ASSERT_EQ(array.numbers[i], w[i]) << c.str() << ", " << array.name << "[" << i << "], " << what;
    }
  }
}

TEST_P(Cores, KernelsAreTheReferenceOnEveryInstructionSet) {
  for (const CoreCase& c : GetParam().cases) {
    const CoreInputs in = inputs_of(c, 1);
    const CoreOutputs want = run_reference(in);
    for_each_target([&] { expect_near(run_kernel(in), want, c); });
    if (HasFatalFailure()) return;
  }
}

TEST_P(Cores, KernelsAreTheReferenceOnEveryThreadCountAndRepeatBitForBit) {
  for (const CoreCase& c : GetParam().cases) {
    const CoreInputs in = inputs_of(c, 2);
    const CoreOutputs want = run_reference(in);
    for_each_thread_count([&] {
      const CoreOutputs first = run_kernel(in);
      expect_near(first, want, c);
      expect_equal(run_kernel(in), first, c, "a second time");
    });
    if (HasFatalFailure()) return;
  }
}

TEST_P(Cores, StatesMayBeAdvancedWhereTheyLieAndResultsDoNotDependOnWhatIsKept) {
  for (const CoreCase& c : GetParam().cases) {
    const CoreInputs in = inputs_of(c, 3);
    expect_near(run_kernel(in, {.in_place = true}), run_reference(in), c);
    expect_equal(run_kernel(in, {.backward = false}), run_kernel(in), c, "forward alone");
    if (HasFatalFailure()) return;
  }
}

// The numbers of an array [..] of `shape` at [begin, begin + length) of dimension `dim`.
template <class Number>
std::vector<Number> sliced(const std::vector<Number>& numbers, const Shape& shape, int dim, int64_t begin,
                           int64_t length) {
  int64_t inner = 1;
  for (int i = dim + 1; i < shape.rank(); ++i) inner *= shape[i];
  const int64_t run = shape[dim] * inner;
  std::vector<Number> part;
  for (int64_t at = 0; at < static_cast<int64_t>(numbers.size()); at += run) {
    part.insert(part.end(), numbers.begin() + at + begin * inner, numbers.begin() + at + (begin + length) * inner);
  }
  return part;
}

// Where T stands in a pattern; -1: nowhere.
int time_of(const std::string& pattern) {
  const size_t at = (" " + pattern + " ").find(" T ");
  return at == std::string::npos
             ? -1
             : static_cast<int>(std::count(pattern.begin(), pattern.begin() + static_cast<long>(at), ' '));
}

// The tokens [begin, begin + length) of `in`, behind the states `before`.
CoreInputs piece_of(const CoreCase& c, const CoreInputs& in, int64_t begin, int64_t length,
                    const std::vector<Numbers>& before) {
  CoreCase shorter = c;
  shorter.dims["T"] = length;
  CoreInputs piece = inputs_of(shorter, 1);
  const Signature& signature = c.core->signature();
  for (size_t i = 0; i < in.operands.size(); ++i) {
    const int dim = time_of(signature.operands[i].shape);
    const Shape shape = in.use.dims.shape(signature.operands[i].shape);
    if (!in.ids[i].empty() && dim >= 0) piece.ids[i] = sliced(in.ids[i], shape, dim, begin, length);
    if (!in.operands[i]) continue;
    piece.operands[i] = dim < 0 ? *in.operands[i] : sliced(*in.operands[i], shape, dim, begin, length);
  }
  piece.before = before;
  return piece;
}

TEST_P(Cores, SplittingAtAnyTokenChangesNothing) {
  for (const CoreCase& c : GetParam().cases) {
    const int64_t T = c.states ? c.dims.at("T") : 0;
    for (const int64_t t : {int64_t{1}, T / 2, T - 1}) {
      if (t < 1 || t >= T) continue;
      const CoreInputs in = inputs_of(c, 4);
      const CoreOutputs whole = run_reference(in);
      const Signature& signature = c.core->signature();
      const CoreOutputs first = run_kernel(piece_of(c, in, 0, t, in.before));
      std::vector<Numbers> between;
      for (const Signature::State& state : signature.states)
        between.push_back(first.at(fmt::format("{} after", state.name)));
      const CoreOutputs second = run_kernel(piece_of(c, in, t, T - t, between));
      for (const Signature::Result& result : signature.results) {
        const Shape shape = in.use.dims.shape(result.shape);
        const int dim = time_of(result.shape);
        const Numbers& want = whole.at(result.name);
        const double bound = 2 * c.tolerance * std::max(largest(want), 0.1);
        for (const auto& [got, begin, length] : {std::tuple(&first, int64_t{0}, t), {&second, t, T - t}}) {
          const Numbers w = sliced(want, shape, dim, begin, length);
          for (size_t i = 0; i < w.size(); ++i) {
            ASSERT_NEAR(got->at(result.name)[i], w[i], bound) << c.str() << " split at " << t << ", " << result.name;
          }
        }
      }
      for (const Signature::State& state : signature.states) {
        const std::string name = fmt::format("{} after", state.name);
        const double bound = 2 * c.tolerance * std::max(largest(whole.at(name)), 0.1);
        for (size_t i = 0; i < whole.at(name).size(); ++i) {
          ASSERT_NEAR(second.at(name)[i], whole.at(name)[i], bound) << c.str() << " split at " << t << ", " << name;
        }
      }
    }
  }
}

constexpr double kStep = 1e-5;  // of the central difference: truncation and rounding are both near 1e-10
constexpr int kSamples = 8;     // elements of each array

// Of the reference's loss by element i of `numbers`, which `in` holds.
double by_difference(const CoreInputs& in, Numbers& numbers, size_t i) {
  const double middle = numbers[i];
  numbers[i] = middle + kStep;
  const double above = reference_loss(in);
  numbers[i] = middle - kStep;
  const double below = reference_loss(in);
  numbers[i] = middle;
  return (above - below) / (2 * kStep);
}

void expect_derivative(const CoreInputs& in, Numbers& numbers, const Numbers& gradient, const std::string& what) {
  Rng rng(mix64(numbers.size()));
  for (int sample = 0; sample < kSamples && !numbers.empty(); ++sample) {
    const size_t i = rng.below(numbers.size());
    ASSERT_NEAR(gradient[i], by_difference(in, numbers, i), 1e-6 * std::max(1.0, largest(gradient)))
        << what << " " << i;
  }
}

TEST_P(Cores, GradientsOfTheReferenceAreDerivatives) {
  for (const CoreCase& c : GetParam().cases) {
    int64_t size = 1;
    for (const auto& [symbol, extent] : c.dims) size *= extent;
    if (size > 20000) continue;  // a difference runs the whole reference
    CoreInputs in = inputs_of(c, 5);
    const CoreOutputs found = run_reference(in);
    const Signature& signature = c.core->signature();
    for (size_t i = 0; i < in.operands.size(); ++i) {
      const int other = signature.operands[i].d_is_that_of;
      const std::string name = fmt::format("d_{}", signature.operands[other < 0 ? i : static_cast<size_t>(other)].name);
      if (in.operands[i]) expect_derivative(in, *in.operands[i], found.at(name), c.str() + " " + name);
    }
    for (size_t i = 0; i < in.before.size(); ++i) {
      const std::string name = fmt::format("d_{}", signature.states[i].name);
      expect_derivative(in, in.before[i], found.at(name), c.str() + " " + name);
    }
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Cores, ::testing::ValuesIn(core_families()),
                         [](const auto& test) { return test.param.folder; });

TEST(CoreFamilies, TakeEveryCoreWithAndWithoutItsStatesAndOptionalOperands) {
  for (const CoreFamily& family : core_families()) {
    std::set<std::string> wanted, found;
    for (const CoreCase& c : family.cases) {
      const Signature& signature = c.core->signature();
      const std::string name = signature.name;
      if (!signature.states.empty()) wanted.insert({name + " with states", name + " without states"});
      found.insert(name + (c.states ? " with states" : " without states"));
      for (const Signature::Operand& operand : signature.operands) {
        if (operand.optional) wanted.insert({name + " with " + operand.name, name + " without " + operand.name});
        found.insert(name + (c.has(operand) ? " with " : " without ") + operand.name);
      }
    }
    for (const std::string& want : wanted) EXPECT_TRUE(found.contains(want)) << family.folder << ": no case " << want;
  }
}

}  // namespace
}  // namespace rebased::testing
