// The promise about packed weights.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "contract/contract_tools.h"
#include "engine/cpu/cpu_engine.h"
#include "engine/reference/reference_engine.h"

namespace rebased::testing {
namespace {

// A product takes its operand in 8 bits, each off by 2^-9 of its size (bf16) or 1 / 254 of its group's largest: up to
// four products follow each other, and a normaliser or an activation between them may double what it is given. Of all
// elements together, since a norm over a head that happens to be near zero magnifies single ones without bound.
constexpr double kRounding = 0.05;

// Root mean square of the difference over that of `exact`.
double distance(const HostArray& found, const HostArray& exact) {
  double difference = 0, all = 0;
  for (size_t i = 0; i < exact.data.size(); ++i) {
    difference += (found.data[i] - exact.data[i]) * (found.data[i] - exact.data[i]);
    all += exact.data[i] * exact.data[i];
  }
  return std::sqrt(difference / all);
}

struct Weights {
  const char* name;
  kernels::Packing packing;
};
constexpr Weights kWeights[] = {
    {"bf16", kernels::Packing::kBF16}, {"int8", kernels::Packing::kI8}, {"int4", kernels::Packing::kI4}};

}  // namespace

// The numbers that the packed matrices hold, in double: a mixer must come near what it is with them, and keep the law.
Violations check_packed_weights(const Subject& subject) {
  Violations violations;
  constexpr int64_t kTokens = 33, kFirst = 20;
  const HostArray x = tokens(2, kTokens);
  for (const Weights& weights : kWeights) {
    CpuEngine packing(weights.packing);
    ReferenceEngine exact;
    const auto packed = build(subject, packing), plain = build(subject, exact);
    auto unpacked = packed->store.params().begin();
    for (Param& param : plain->store.params()) param.value = write(exact, read((unpacked++)->value));
    const HostArray found = packed->run(x), expected = plain->run(x);
    const double allowed = std::min(0.5, kRounding * subject.tolerance / kLeastTolerance);
    const auto compare = [&](const char* what, const HostArray& array, const HostArray& exact_array) {
      const double apart = distance(array, exact_array);
      if (!(apart <= allowed)) {
        violations.push_back(fmt::format("{} weights, {}: {:.3g} of the outputs' size apart, {:.3g} are allowed",
                                         weights.name, what, apart, allowed));
      }
    };
    compare("against the same numbers in double", found, expected);
    if (!packed->mixer->traits().causal) continue;
    MixerState state = packed->state(2);
    const HostArray front = packed->run(x.sliced(1, 0, kFirst), &state),
                    rest = packed->run(x.sliced(1, kFirst, kTokens - kFirst), &state);
    compare("split", joined_time({front, rest}), found);
  }
  return violations;
}

}  // namespace rebased::testing
