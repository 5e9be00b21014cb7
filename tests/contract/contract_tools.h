#pragma once

#include <span>

#include "contract/mixer_contract.h"

namespace rebased::testing {

void note(Violations& violations, const std::string& problem);  // unless it is empty

HostArray joined_time(const std::vector<HostArray>& parts);  // [B, T_i, C] -> [B, sum T_i, C]
HostArray rows_of(const HostArray& x, std::span<const int64_t> rows);

// Context::outputs of two rows of kOutputTokens tokens, and their outputs [2, N, C] out of all of them.
inline constexpr int64_t kOutputTokens = 23;
const std::vector<int64_t>& some_outputs();
HostArray at_outputs(const HostArray& y);

// Every array of two states, by name, and their positions.
void compare_states(Violations& violations, const std::string& what, const MixerState& found,
                    const MixerState& expected, const Subject& subject, const EngineCase& where);

}  // namespace rebased::testing
