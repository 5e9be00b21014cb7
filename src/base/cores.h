#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace rebased {

// Cores whose time this process may use: those of its affinity mask, and no more than the processor time that its
// control groups (versions 1 and 2) grant, in whole cores, rounded up. At least 1.
int usable_cores();

// The smallest quota of processor time, in cores, of a control group and those above it; none where none is set.
// groups: the text of /proc/self/cgroup. mount: where control groups are mounted (/sys/fs/cgroup).
std::optional<double> quota_in_cores(std::string_view groups, const std::filesystem::path& mount);

}  // namespace rebased
