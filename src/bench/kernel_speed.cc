#include "bench/kernel_speed.h"

#include <algorithm>
#include <span>

#include "bench/kernel_rows.h"
#include "bench/limits.h"

namespace rebased {
namespace {

// Matrix products, the forward kernel and, if there is one, the backward kernel; then all of them on one thread.
std::vector<std::function<void()>> works_of(const KernelCase& work, const GemmProbe& gemm, bool scaling) {
  std::vector<std::function<void()>> works = {gemm, work.forward};
  if (work.backward) works.push_back(work.backward);
  const size_t count = works.size();
  for (size_t i = 0; scaling && i < count; ++i) works.push_back(on_one_thread(works[i]));
  return works;
}

void set_scaling(KernelSpeed& speed, std::span<const Timing> timings) {
  const size_t count = timings.size() / 2;
  const std::span<const Timing> all = timings.first(count), one = timings.last(count);
  const double gemm = one[0].median / all[0].median;
  speed.forward_scaling = {one[1].median / all[1].median, gemm};
  if (count < 3) return;
  speed.both_scaling = {(one[1].median + one[2].median) / (all[1].median + all[2].median), gemm};
}

KernelSpeed measure(const KernelRow& row, const GemmProbe& gemm, const TimingOptions& options) {
  const KernelCase work = row.make();
  KernelSpeed speed{.name = row.name, .error = work.error()};
  speed.correct = speed.error <= row.tolerance;
  if (!speed.correct) return speed;
  const std::vector<Timing> timings = time_in_turn(works_of(work, gemm, options.scaling), options);
  speed.gemm = GemmProbe::operations() / timings[0].median;
  speed.forward = timings[1];
  speed.forward_share = row.forward_operations / speed.forward.median / speed.gemm;
  if (work.backward) {
    speed.backward = timings[2];
    speed.both_share = row.both_operations / (speed.forward.median + speed.backward->median) / speed.gemm;
  }
  if (options.scaling) set_scaling(speed, timings);
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
  const GemmProbe gemm;
  std::vector<KernelSpeed> speeds;
  for (const KernelRow& row : kernel_rows()) {
    if (!matches(row, filter)) continue;
    speeds.push_back(measure(row, gemm, options));
    if (on_done) on_done(static_cast<int64_t>(speeds.size()));
  }
  return speeds;
}

}  // namespace rebased
