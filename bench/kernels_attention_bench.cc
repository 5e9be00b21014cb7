// Speed of quadratic attention as a share of what OpenBLAS reaches on a 1024^3 product in the same run,
// single-threaded, in processor time, medians of interleaved repetitions. Operations are those of the cheapest exact
// form.
#include <cblas.h>
#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <new>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/quadratic_attention.h"

namespace rebased::kernels {
namespace {

double processor_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double time_once(const std::function<void()>& f, int repetitions) {
  const double start = processor_seconds();
  for (int i = 0; i < repetitions; ++i) f();
  return (processor_seconds() - start) / repetitions;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// On cache lines, as engines allocate.
template <class T>
struct LineAllocator {
  using value_type = T;
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64))); }
  void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t(64)); }
  bool operator==(const LineAllocator&) const { return true; }
};
using Floats = std::vector<float, LineAllocator<float>>;

Floats random_floats(int64_t n, uint64_t seed) {
  Rng rng(seed);
  Floats values(static_cast<size_t>(n));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

struct Gemm {
  static constexpr int kN = 1024;
  Floats a = random_floats(kN * kN, 1), b = random_floats(kN * kN, 2), c = random_floats(kN * kN, 3);
  void operator()() {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kN, kN, kN, 1, a.data(), kN, b.data(), kN, 0, c.data(), kN);
  }
  static double operations() { return 2.0 * kN * kN * kN; }
};

struct Shape {
  const char* name;
  int64_t B, T, H, Dk, Dv;
  bool states;
  Form form = Form::kAuto;
  int64_t chunk = 0;
};

// Multiplications and additions of the cheapest exact form: pairs or state (core.md section 6). The gradient repeats
// the scores and has four more products a pair, or five against the forward's two through the state.
double operations(const Shape& s, bool backward) {
  const auto Dk = static_cast<double>(s.Dk), Dv = static_cast<double>(s.Dv), T = static_cast<double>(s.T);
  const double F = Dk * (Dk + 1) / 2, n = (T + 1) / 2;
  const double forward_pairs = n * (2 * Dk + 2 * Dv + 3), backward_pairs = n * (6 * Dk + 4 * Dv + 6);
  const double forward_state = 4 * F * Dv + 7 * F, backward_state = 10 * F * Dv + 14 * F;
  double token = s.states ? forward_state : std::min(forward_pairs, forward_state);
  if (backward) token += s.states ? backward_state : std::min(backward_pairs, backward_state);
  return token * static_cast<double>(s.B * s.H) * T;
}

void bench(const Shape& s, Gemm& gemm, int rounds) {
  const int64_t rows = s.B * s.T * s.H, F = quadratic_feature_count(s.Dk, {}), states = s.B * s.H * F;
  auto q = random_floats(rows * s.Dk, 4), k = random_floats(rows * s.Dk, 5), v = random_floats(rows * s.Dv, 6);
  auto d_o = random_floats(rows * s.Dv, 7), s0 = random_floats(states * s.Dv, 8), z0 = random_floats(states, 9);
  Floats o(v.size()), z(static_cast<size_t>(rows)), dq(q.size()), dk(k.size()), dv(v.size());
  QuadraticAttentionArgs<float> args;
  args.B = s.B, args.T = s.T, args.H = s.H, args.Dk = s.Dk, args.Dv = s.Dv;
  args.q = q.data(), args.k = k.data(), args.v = v.data(), args.o = o.data(), args.z = z.data();
  args.scale = 0.25, args.form = s.form, args.chunk = s.chunk;
  if (s.states) args.s0 = args.sT = s0.data(), args.z0 = args.zT = z0.data();
  QuadraticAttentionGradArgs<float> grad;
  grad.forward = args, grad.d_o = d_o.data(), grad.dq = dq.data(), grad.dk = dk.data(), grad.dv = dv.data();
  Floats scratch(static_cast<size_t>(cpu::quadratic_attention_scratch(args)));
  Floats grad_scratch(static_cast<size_t>(cpu::quadratic_attention_grad_scratch(grad)));
  args.scratch = scratch.data(), grad.scratch = grad_scratch.data();
  auto forward = [&] { cpu::quadratic_attention(args); };
  auto backward = [&] { cpu::quadratic_attention_grad(grad); };
  const double guess = time_once(forward, 1);
  const int repetitions = std::max(1, static_cast<int>(0.01 / std::max(guess, 1e-6)));
  std::vector<double> forwards, backwards, gemms;
  for (int round = 0; round < rounds; ++round) {
    gemms.push_back(time_once([&] { gemm(); }, 1));
    forwards.push_back(time_once(forward, repetitions));
    if (!s.states) backwards.push_back(time_once(backward, repetitions));
  }
  const double rate = Gemm::operations() / median(gemms), f = median(forwards);
  fmt::print("{:26} gemm {:6.1f} GFLOP/s   forward {:9.1f} us {:5.1f} %", s.name, rate * 1e-9, f * 1e6,
             100 * operations(s, false) / f / rate);
  if (!s.states) {
    const double both = f + median(backwards);
    fmt::print("   with gradient {:9.1f} us {:5.1f} %", both * 1e6, 100 * operations(s, true) / both / rate);
  }
  fmt::print("\n");
}

}  // namespace
}  // namespace rebased::kernels

int main(int argc, char** argv) {
  using rebased::kernels::Form;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 15;
  rebased::set_thread_count(1);
  rebased::kernels::Gemm gemm;
  gemm();
  for (const rebased::kernels::Shape& shape : std::initializer_list<rebased::kernels::Shape>{
           {"MQAR T 48, Dv 2", 128, 48, 12, 16, 2, false},
           {"hot T 48, Dv 2", 1, 48, 12, 16, 2, false},
           {"MQAR T 64, Dv 5", 128, 64, 12, 16, 5, false},
           {"MQAR T 256, Dv 21", 8, 256, 12, 16, 21, false},
           {"long T 2048, Dv 64", 1, 2048, 8, 16, 64, false},
           {"long T 2048, chunk 128", 1, 2048, 8, 16, 64, false, Form::kChunked, 128},
           {"T 384 parallel", 1, 384, 8, 16, 64, false, Form::kParallel},
           {"T 384 chunked", 1, 384, 8, 16, 64, false, Form::kChunked},
           {"decode, Dv 64", 1, 1, 12, 16, 64, true},
           {"decode, Dv 5", 1, 1, 12, 16, 5, true},
       }) {
    if (argc > 2 && std::string_view(shape.name).find(argv[2]) == std::string_view::npos) continue;
    rebased::kernels::bench(shape, gemm, rounds);
  }
}
