#pragma once

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <span>

#include "contract/mixer_contract.h"

namespace rebased::testing {

void note(Violations& violations, const std::string& problem);  // unless it is empty

template <class Expected, class F>
void expect_refusal(Violations& violations, const std::string& what, const F& f) {
  try {
    f();
    violations.push_back(what + " is not refused");
  } catch (const Expected&) {
  } catch (const std::exception& other) {
    violations.push_back(fmt::format("{} is refused with the wrong kind of error: {}", what, other.what()));
  }
}

HostArray joined_time(const std::vector<HostArray>& parts);  // [B, T_i, C] -> [B, sum T_i, C]
HostArray rows_of(const HostArray& x, std::span<const int64_t> rows);

// Context::outputs of two rows of kOutputTokens tokens, and their outputs [2, N, C] out of all of them.
inline constexpr int64_t kOutputTokens = 23;
const std::vector<int64_t>& some_outputs();
HostArray at_outputs(const HostArray& y);

// Gradients of <w, y> + what else a loss adds, with respect to x and every trainable parameter.
struct Graded {
  std::vector<std::string> names;
  std::vector<Value> leaves;
  HostArray y;
  std::vector<std::optional<HostArray>> grads;
};
using MakeLoss = std::function<std::vector<Weighted>(Built& built, const Value& x)>;
HostArray loss_weights(const Shape& shape);
Graded graded(Built& built, const HostArray& x_in, const MakeLoss& make_loss);
void compare_graded(Violations& violations, const std::string& what, const Graded& found, const Graded& exact,
                    const Subject& subject, const EngineCase& where);

// Whether its tokens see no later ones; else it has no state.
bool is_causal(const Subject& subject);

// Every array of two states, by name, and their positions.
void compare_states(Violations& violations, const std::string& what, const MixerState& found,
                    const MixerState& expected, const Subject& subject, const EngineCase& where);

}  // namespace rebased::testing
