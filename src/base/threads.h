#pragma once

#include <cstdint>
#include <functional>

namespace rebased {

inline constexpr int kMostThreads = 1024;

// Number of threads that parallel_for computes with; at least 1. The default is usable_cores() when it is first asked.
int thread_count();
void set_thread_count(int threads);  // 1 to kMostThreads; what lies outside is moved there

// Index of the part that the calling thread computes in the running parallel_for, in [0, thread_count()), no two at a
// time alike; 0 outside of one.
int thread_index();

// Splits [0, n) into at most thread_count() contiguous parts of at least `grain` and calls f(begin, end) for each. The
// split depends on n, grain and thread_count() alone, so that results repeat bit for bit whoever computes a part: the
// caller computes the first one and then every part that no other thread has begun, so that a thread which the system
// has put aside is waited for only where it holds a part. Calls from inside, and while another thread's call is under
// way, run serially. f must not throw.
using RangeFunction = std::function<void(int64_t begin, int64_t end)>;
void parallel_for(int64_t n, int64_t grain, const RangeFunction& f);

// The same in runs of `run`, as many calls a thread as it has time for: it takes its range run by run, then what others
// have not begun of theirs. For work whose parts do not meet, on cores that are not equally fast.
void parallel_runs(int64_t n, int64_t run, const RangeFunction& f);

}  // namespace rebased
