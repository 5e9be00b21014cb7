#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "bench/timing.h"

namespace rebased {

// How many times as fast all threads are as one: some work, and matrix products in the same rounds.
struct Scaling {
  double work = 0, gemm = 0;
};

// The same work on one thread, whatever thread_count() is outside of it.
std::function<void()> on_one_thread(std::function<void()> work);

// The larger of what f gives for all threads and for one: scratch that suffices for both.
int64_t most_over_threads(const std::function<int64_t()>& f);

// Some work and products of matrices, timed in turn; scaling where the options ask for it.
struct TimesBesideProducts {
  Timing work, gemm;
  std::optional<Scaling> scaling;
};
TimesBesideProducts time_beside_products(const std::function<void()>& work, const std::function<void()>& gemm,
                                         const TimingOptions& options);

}  // namespace rebased
