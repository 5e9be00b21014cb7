#include "bench/kernel_speed.h"

#include <algorithm>

#include "bench/kernel_rows.h"
#include "bench/limits.h"

namespace rebased {
namespace {

KernelSpeed measure(const KernelRow& row, GemmProbe& gemm, const TimingOptions& options) {
  const KernelCase work = row.make();
  KernelSpeed speed{.name = row.name, .error = work.error()};
  speed.correct = speed.error <= row.tolerance;
  if (!speed.correct) return speed;
  std::vector<std::function<void()>> works = {[&] { gemm(); }, work.forward};
  if (work.backward) works.push_back(work.backward);
  const std::vector<Timing> timings = time_in_turn(works, options);
  speed.gemm = GemmProbe::operations() / timings[0].median;
  speed.forward = timings[1];
  speed.forward_share = row.forward_operations / speed.forward.median / speed.gemm;
  if (work.backward) {
    speed.backward = timings[2];
    speed.both_share = row.both_operations / (speed.forward.median + speed.backward->median) / speed.gemm;
  }
  return speed;
}

bool matches(const KernelRow& row, const std::string& filter) { return row.name.find(filter) != std::string::npos; }

}  // namespace

int64_t count_kernels(const std::string& filter) {
  return std::count_if(kernel_rows().begin(), kernel_rows().end(),
                       [&](const KernelRow& row) { return matches(row, filter); });
}

std::vector<KernelSpeed> measure_kernels(const std::string& filter, const TimingOptions& options,
                                         const std::function<void(int64_t done)>& on_done) {
  GemmProbe gemm;
  std::vector<KernelSpeed> speeds;
  for (const KernelRow& row : kernel_rows()) {
    if (!matches(row, filter)) continue;
    speeds.push_back(measure(row, gemm, options));
    if (on_done) on_done(static_cast<int64_t>(speeds.size()));
  }
  return speeds;
}

}  // namespace rebased
