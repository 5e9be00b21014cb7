#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/scaling.h"
#include "bench/timing.h"

namespace rebased {

// What one row of kernel_rows() reached. Shares are of the rate that OpenBLAS reached in the same rounds, both in
// operations a second.
struct KernelSpeed {
  std::string name;
  double error = 0;
  bool correct = false;  // when not, nothing was timed
  double gemm = 0;       // operations a second
  Timing forward{};
  double forward_share = 0;
  std::optional<Timing> backward{};
  double both_share = 0;
  std::optional<Scaling> forward_scaling{}, both_scaling{};  // where TimingOptions ask for them
};

// Rows whose name contains `filter`; `on_done` is told how many are done.
int64_t count_kernels(const std::string& filter);
std::vector<KernelSpeed> measure_kernels(const std::string& filter, const TimingOptions& options,
                                         const std::function<void(int64_t done)>& on_done);

}  // namespace rebased
