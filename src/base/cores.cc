#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

namespace rebased {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// "100000 50000": microseconds granted of each period. Anything else, such as "max 100000" or -1, is no quota.
std::optional<double> cores_of(const std::string& quota_and_period) {
  std::istringstream numbers(quota_and_period);
  double quota = 0, period = 0;
  if (!(numbers >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

std::optional<double> quota_of_folder(const fs::path& folder) {
  if (const auto cores = cores_of(text_of(folder / "cpu.max"))) return cores;
  return cores_of(text_of(folder / "cpu.cfs_quota_us") + " " + text_of(folder / "cpu.cfs_period_us"));
}

// Whether a line of /proc/self/cgroup names the group that limits processor time: "0::/a/b" (version 2) or
// "4:cpu,cpuacct:/a/b" (version 1).
bool limits_cpu(std::string_view controllers) {
  return controllers.empty() || ("," + std::string(controllers) + ",").find(",cpu,") != std::string::npos;
}

}  // namespace

std::optional<double> quota_in_cores(std::string_view groups, const fs::path& mount) {
  std::optional<double> least;
  std::istringstream lines{std::string(groups)};
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!limits_cpu(controllers)) continue;
    const fs::path top = mount / controllers;  // version 2: the mount itself
    // Inside a container the path may be the host's, and then only its end exists here, or nothing but the top.
    for (fs::path group = fs::path(line.substr(second + 1)).relative_path();; group = group.parent_path()) {
      const auto cores = quota_of_folder(top / group);
      if (cores && (!least || *cores < *least)) least = cores;
      if (group.empty()) break;
    }
  }
  return least;
}

int usable_cores() {
  cpu_set_t set;
  const int allowed = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  const auto quota = quota_in_cores(text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
  const double granted = quota ? std::min(std::ceil(*quota), 1e6) : allowed;
  return std::max(1, std::min(allowed, static_cast<int>(granted)));
}

}  // namespace rebased
