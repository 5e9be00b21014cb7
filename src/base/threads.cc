#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <vector>

#ifdef REBASED_STD_THREADS
#include <thread>
#else
#include <omp.h>
#endif

namespace rebased {
namespace {

int allowed_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::atomic<int> g_threads{0};
thread_local int t_index = 0;
thread_local bool t_inside = false;

// Runs one range as thread `index` and leaves the caller's own marks as they were.
void run_range(int index, int64_t begin, int64_t end, const RangeFunction& f) {
  t_index = index;
  t_inside = true;
  f(begin, end);
  t_index = 0;
  t_inside = false;
}

}  // namespace

int thread_count() {
  static const int cores = allowed_cores();  // a system call, which every small operation would make several times
  const int threads = g_threads.load(std::memory_order_relaxed);
  return threads > 0 ? threads : cores;
}

void set_thread_count(int threads) {
  g_threads.store(std::max(1, threads), std::memory_order_relaxed);
#ifndef REBASED_STD_THREADS
  omp_set_num_threads(std::max(1, threads));
#endif
}

int thread_index() { return t_index; }

void parallel_for(int64_t n, int64_t grain, const RangeFunction& f) {
  if (n <= 0) return;
  const int64_t most = (n + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
  const int parts = static_cast<int>(std::min<int64_t>(thread_count(), most));
  if (parts <= 1 || t_inside) {
    f(0, n);
    return;
  }
  auto bound = [n, parts](int part) { return n * part / parts; };
#ifdef REBASED_STD_THREADS
  std::vector<std::thread> workers;
  for (int part = 1; part < parts; ++part) {
    workers.emplace_back([&, part] { run_range(part, bound(part), bound(part + 1), f); });
  }
  run_range(0, bound(0), bound(1), f);
  for (std::thread& worker : workers) worker.join();
#else
#pragma omp parallel num_threads(parts)
  {
    // The runtime may grant fewer threads than asked for: each takes every parts-th range it is due.
    for (int part = omp_get_thread_num(); part < parts; part += omp_get_num_threads()) {
      run_range(part, bound(part), bound(part + 1), f);
    }
  }
#endif
}

void parallel_runs(int64_t n, int64_t run, const RangeFunction& f) {
  struct alignas(64) Range {
    std::atomic<int64_t> next;
    int64_t end;
  };
  if (n <= 0) return;
  const int64_t runs = (n + run - 1) / run, parts = std::min<int64_t>(thread_count(), runs);
  std::vector<Range> ranges(static_cast<size_t>(parts));
  for (int64_t p = 0; p < parts; ++p) {
    Range& range = ranges[static_cast<size_t>(p)];
    range.next = runs * p / parts;
    range.end = runs * (p + 1) / parts;
  }
  parallel_for(parts, 1, [&](int64_t first, int64_t) {
    for (int64_t p = 0; p < parts; ++p) {
      Range& range = ranges[static_cast<size_t>((first + p) % parts)];
      for (int64_t i = range.next++; i < range.end; i = range.next++) f(i * run, std::min(n, (i + 1) * run));
    }
  });
}

}  // namespace rebased
