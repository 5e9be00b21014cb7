#pragma once

#include <cstdint>
#include <functional>

namespace rebased {

// Number of threads that parallel_for and the BLAS use; at least 1. The default is every core the process may
// run on when it first asks.
int thread_count();
void set_thread_count(int threads);

// Index of the calling thread inside the running parallel_for, in [0, thread_count()); 0 outside of one.
int thread_index();

// Splits [0, n) into at most thread_count() contiguous ranges of at least `grain` and calls f(begin, end) for each, one
// range a thread. The split depends on n, grain and thread_count() alone, so that results repeat bit for bit.
// Nested calls run serially. f must not throw.
using RangeFunction = std::function<void(int64_t begin, int64_t end)>;
void parallel_for(int64_t n, int64_t grain, const RangeFunction& f);

// The same in runs of `run`, as many calls a thread as it has time for: it takes its range run by run, then what others
// have not begun of theirs. For work whose parts do not meet, on cores that are not equally fast.
void parallel_runs(int64_t n, int64_t run, const RangeFunction& f);

}  // namespace rebased
