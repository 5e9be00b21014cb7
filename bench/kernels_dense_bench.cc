// Kernels that are not linear attention. Compare times with Sgemm1024 of the same run: the rates of a shared machine
// vary.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/cross_entropy.h"

namespace rebased::kernels {
namespace {

std::vector<float> random_floats(int64_t n, double scale = 1) {
  std::vector<float> values(static_cast<size_t>(n));
  Rng rng(static_cast<uint64_t>(n));
  for (float& value : values) value = static_cast<float>(scale * (rng.uniform() - 0.5));
  return values;
}

void set_flops(benchmark::State& state, double flops) {
  state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

void set_bytes(benchmark::State& state, double bytes) {
  state.counters["bytes"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
}

void Sgemm1024(benchmark::State& state) {
  const std::vector<float> a = random_floats(1 << 20), b = random_floats(1 << 20);
  std::vector<float> c(1 << 20);
  for (auto _ : state) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 1024, 1024, 1024, 1, a.data(), 1024, b.data(), 1024, 0,
                c.data(), 1024);
  }
  set_flops(state, 2.0 * 1024 * 1024 * 1024);
}
BENCHMARK(Sgemm1024)->UseRealTime();

void Copy64MiB(benchmark::State& state) {
  const std::vector<float> a = random_floats(1 << 24);
  std::vector<float> b(a.size());
  for (auto _ : state) {
    std::memcpy(b.data(), a.data(), a.size() * sizeof(float));
    benchmark::DoNotOptimize(b.data());
  }
  set_bytes(state, 2.0 * 4 * (1 << 24));
}
BENCHMARK(Copy64MiB)->UseRealTime();

void CrossEntropy(benchmark::State& state) {
  CrossEntropyArgs<float> a;
  a.N = state.range(0);
  a.C = state.range(1);
  a.V = state.range(2);
  const bool gradients = state.range(3) != 0;
  const std::vector<float> x = random_floats(a.N * a.C), e = random_floats(a.V * a.C);
  std::vector<float> nll(static_cast<size_t>(a.N)), d_x(x.size()), d_e(e.size());
  const std::vector<int64_t> labels(static_cast<size_t>(a.N), 1);
  std::vector<int64_t> best(labels.size());
  a.x = x.data();
  a.e = e.data();
  a.labels = labels.data();
  a.nll = nll.data();
  a.best = best.data();
  a.d_x = gradients ? d_x.data() : nullptr;
  a.d_e = gradients ? d_e.data() : nullptr;
  std::vector<float> scratch(static_cast<size_t>(cpu::cross_entropy_scratch(a)));
  a.scratch = scratch.data();
  for (auto _ : state) cpu::cross_entropy(a);
  set_flops(state, (gradients ? 6.0 : 2.0) * static_cast<double>(a.N * a.C * a.V));
}
BENCHMARK(CrossEntropy)
    ->ArgNames({"N", "C", "V", "gradients"})
    ->Args({6144, 32, 8192, 1})
    ->Args({6144, 32, 8192, 0})
    ->Args({1024, 64, 8192, 1})
    ->Args({4096, 128, 256, 1})
    ->Args({2048, 768, 16384, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace rebased::kernels
