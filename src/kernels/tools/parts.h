#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "base/threads.h"

namespace rebased::kernels::cpu {

// Calls f(part, begin, end) for `parts` even shares of [0, n), one a thread: for work in which each thread sums into
// memory of its own.
template <class F>
void for_each_part(int64_t parts, int64_t n, const F& f) {
  auto body = [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) f(p, n * p / parts, n * (p + 1) / parts);
  };
  parallel_for(parts, 1, std::ref(body));
}

// Calls rows(args, begin, end) for stretches of N rows that threads share; one holds about `elements` elements.
template <class Args>
void over_rows(int64_t N, int64_t elements_a_row, int64_t elements, const Args& args,
               void (*rows)(const Args&, int64_t, int64_t)) {
  auto body = [&args, rows](int64_t begin, int64_t end) { rows(args, begin, end); };
  parallel_for(N, std::max<int64_t>(1, elements / std::max<int64_t>(1, elements_a_row)), std::ref(body));
}

// Joins the sums of part `part` to those of the parts before it: the first one's are stored.
inline void join_part(int64_t part, int64_t n, const float* sums, float* total) {
  for (int64_t i = 0; i < n; ++i) total[i] = (part == 0 ? 0.0f : total[i]) + sums[i];
}

}  // namespace rebased::kernels::cpu
