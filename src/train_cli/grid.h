#pragma once

#include <string>
#include <vector>

namespace rebased {

// One point of a grid: the assignments that make it, as --set takes them, and their values as the end of a file name.
struct GridPoint {
  std::vector<std::string> assignments;
  std::string suffix;
};

// Every combination of "KEY=[VALUE, ...]", values as --set takes them: the last grid changes fastest, and no grid makes
// one point. Suffixes are unique: values that read alike in one are numbered. Throws UsageError for what is not
// such a list, or has a value twice.
std::vector<GridPoint> grid_points(const std::vector<std::string>& grids);

}  // namespace rebased
