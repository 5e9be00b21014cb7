#include "bench/scaling.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/threads.h"

namespace rebased {
namespace {

class OneThread {
 public:
  OneThread() : before_(thread_count()) { set_thread_count(1); }
  ~OneThread() { set_thread_count(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace

std::function<void()> on_one_thread(std::function<void()> work) {
  return [work = std::move(work)] {
    const OneThread alone;
    work();
  };
}

int64_t most_over_threads(const std::function<int64_t()>& f) {
  int64_t most = f();
  on_one_thread([&] { most = std::max(most, f()); })();
  return most;
}

TimesBesideProducts time_beside_products(const std::function<void()>& work, const std::function<void()>& gemm,
                                         const TimingOptions& options) {
  std::vector<std::function<void()>> works = {work, gemm};
  if (options.scaling) works.insert(works.end(), {on_one_thread(work), on_one_thread(gemm)});
  const std::vector<Timing> timings = time_in_turn(works, options);
  TimesBesideProducts times{.work = timings[0], .gemm = timings[1], .scaling = {}};
  if (options.scaling) {
    times.scaling = {timings[2].median / timings[0].median, timings[3].median / timings[1].median};
  }
  return times;
}

}  // namespace rebased
