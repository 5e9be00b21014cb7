#pragma once

#include <cstdint>
#include <string_view>

namespace rebased {

inline constexpr int64_t kAddressSpace = int64_t{1} << 47;  // bytes that a process can address

int64_t machine_memory();  // bytes; kAddressSpace where the system does not say

// Throws ConfigError "WHAT would take 2199.0 GB, more than the 24.9 GB that there are" where it does.
void check_memory(double bytes, std::string_view what, int64_t limit = machine_memory());

}  // namespace rebased
