#include "bench/report.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include "base/threads.h"
#include "record/environment.h"

namespace rebased {

std::string giga(double value) { return fmt::format("{:.1f}", value * 1e-9); }
std::string milliseconds(double seconds) { return fmt::format("{:.3f}", seconds * 1e3); }
std::string percent(double share) { return fmt::format("{:.1f}", share * 100); }
std::string ratio(double value) { return fmt::format("{:.2f}", value); }
std::string spread(const Timing& timing) { return percent((timing.high - timing.low) / timing.median); }

Json to_json(const Timing& timing) {
  return {{"median_s", timing.median}, {"low_s", timing.low}, {"high_s", timing.high}};
}

Json to_json(const Scaling& scaling) { return {{"work", scaling.work}, {"gemm", scaling.gemm}}; }

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

std::string bench_text(const Table& table) {
  const Environment machine = collect_environment();
  return fmt::format("{}, {}, {} of {} cores, {}, commit {}\n\n{}", machine.cpu, machine.simd, thread_count(),
                     machine.cores, machine.blas, machine.commit, table.text());
}

std::string bench_json(Json rows) {
  const Environment machine = collect_environment();
  const Json described{{"cpu", machine.cpu},     {"simd", machine.simd}, {"threads", thread_count()},
                       {"cores", machine.cores}, {"blas", machine.blas}, {"commit", machine.commit}};
  const Json document{{"machine", described}, {"peak_mb", peak_megabytes()}, {"rows", std::move(rows)}};
  return json_text(document, 2) + "\n";
}

}  // namespace rebased
