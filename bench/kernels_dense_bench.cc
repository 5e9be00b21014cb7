// Kernels that are not linear attention. Compare times with Sgemm1024 of the same run: the rates of a shared machine
// vary.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "cores/dropout/kernel.h"
#include "cores/short_conv/kernel.h"
#include "cores/softmax_attention/kernel.h"
#include "kernels/bf16_product.h"
#include "kernels/blas_product.h"
#include "kernels/cross_entropy.h"
#include "kernels/dense.h"
#include "kernels/thin_linear.h"
#include "updates/adamw/kernel.h"

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
    cpu::blas_product({.M = 1024, .N = 1024, .K = 1024, .a = a.data(), .b = b.data(), .c = c.data()});
  }
  set_flops(state, 2.0 * 1024 * 1024 * 1024);
}
BENCHMARK(Sgemm1024)->UseRealTime();

// The three products of a linear layer: y = x w^T, dx = dy w, dw = dy^T x; by BLAS in float32, and of rounded numbers.
void Bf16Product(benchmark::State& state) {
  const int64_t M = state.range(0), N = state.range(1), K = state.range(2), form = state.range(3);
  const bool blas = state.range(4) != 0;
  const std::vector<float> a = random_floats(M * K), b = random_floats(N * K);
  std::vector<float> c(static_cast<size_t>(M * N));
  Bf16ProductArgs args{.M = M, .N = N, .K = K, .a = a.data(), .a_turned = form == 2, .b = b.data()};
  args.b_turned = form == 0;
  args.c = c.data();
  args.ldc = N;
  std::vector<float> scratch(static_cast<size_t>(cpu::bf16_product_scratch(args)));
  args.scratch = scratch.data();
  const BlasProduct product{.M = M,
                            .N = N,
                            .K = K,
                            .a = a.data(),
                            .a_turned = form == 2,
                            .b = b.data(),
                            .b_turned = form == 0,
                            .c = c.data()};
  for (auto _ : state) {
    if (blas) {
      cpu::blas_product(product);
    } else {
      cpu::bf16_product(args);
    }
  }
  set_flops(state, 2.0 * static_cast<double>(M * N * K));
}
BENCHMARK(Bf16Product)
    ->ArgNames({"M", "N", "K", "form", "blas"})
    ->ArgsProduct({{1024}, {1024}, {1024}, {0, 1, 2}, {0, 1}})
    ->ArgsProduct({{4096}, {512}, {1536}, {0, 1}, {0, 1}})
    ->ArgsProduct({{4096}, {16384}, {512}, {0}, {0, 1}})
    ->ArgsProduct({{512, 1536}, {512}, {4096}, {2}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

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

// Narrow projections: by BLAS, and by the kernel for them; forward and both gradients.
void ThinLinear(benchmark::State& state) {
  const int64_t N = state.range(0), I = state.range(1), O = state.range(2);
  const bool blas = state.range(3) != 0;
  const std::vector<float> x = random_floats(N * I), w = random_floats(O * I), dy = random_floats(N * O);
  std::vector<float> y(dy.size()), dx(x.size()), dw(w.size());
  ThinLinearArgs forward{.N = N, .I = I, .O = O, .x = x.data(), .w = w.data(), .y = y.data()};
  LinearGradArgs back{.N = N, .I = I, .O = O, .x = x.data(), .w = w.data(), .dy = dy.data()};
  back.dx = dx.data();
  back.dw = dw.data();
  std::vector<float> scratch(
      static_cast<size_t>(std::max(cpu::thin_linear_scratch(forward), cpu::thin_linear_grad_scratch(back))));
  forward.scratch = back.scratch = scratch.data();
  const BlasProduct products[] = {
      {.M = N, .N = O, .K = I, .a = x.data(), .b = w.data(), .b_turned = true, .c = y.data()},
      {.M = N, .N = I, .K = O, .a = dy.data(), .b = w.data(), .c = dx.data()},
      {.M = O, .N = I, .K = N, .a = dy.data(), .a_turned = true, .b = x.data(), .c = dw.data()}};
  for (auto _ : state) {
    if (blas) {
      for (const BlasProduct& product : products) cpu::blas_product(product);
    } else {
      cpu::thin_linear(forward);
      cpu::thin_linear_grad(back);
    }
  }
  set_flops(state, 6.0 * static_cast<double>(N * I * O));
}
BENCHMARK(ThinLinear)
    ->ArgNames({"N", "I", "O", "blas"})
    ->ArgsProduct({{6144}, {32, 64, 256}, {32, 64, 192}, {0, 1}})
    ->UseRealTime();

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

void AdamW(benchmark::State& state) {
  AdamWArgs<float> a;
  a.n = 1 << 24;
  std::vector<float> param = random_floats(a.n), m = random_floats(a.n), v(param.size(), 0.1f);
  const std::vector<float> grad = random_floats(a.n);
  a.param = param.data();
  a.grad = grad.data();
  a.m = m.data();
  a.v = v.data();
  for (auto _ : state) cpu::adamw(a);
  set_bytes(state, 7.0 * 4 * static_cast<double>(a.n));
}
BENCHMARK(AdamW)->UseRealTime()->Unit(benchmark::kMillisecond);

void ShortConv(benchmark::State& state) {
  const int64_t B = 8, T = 2048, C = state.range(0), K = state.range(1), n = B * T * C;
  const bool gradients = state.range(2) != 0;
  const std::vector<float> x = random_floats(n), w = random_floats(C * K), dy = random_floats(n);
  std::vector<float> y(x.size()), dx(x.size()), dw(w.size());
  ShortConvGradArgs<float> g;
  g.forward = {.B = B, .T = T, .C = C, .K = K, .x = x.data(), .w = w.data(), .silu = true, .y = y.data()};
  g.dy = dy.data();
  g.dx = dx.data();
  g.dw = dw.data();
  std::vector<float> scratch(static_cast<size_t>(cpu::short_conv_grad_scratch(g)));
  g.scratch = scratch.data();
  for (auto _ : state) gradients ? cpu::short_conv_grad(g) : cpu::short_conv(g.forward);
  set_bytes(state, (gradients ? 3.0 : 2.0) * 4 * static_cast<double>(n));
}
BENCHMARK(ShortConv)
    ->ArgNames({"C", "K", "gradients"})
    ->ArgsProduct({{1024}, {3, 4, 128}, {0, 1}})
    ->Args({64, 4, 0})
    ->Args({64, 4, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void Linear(benchmark::State& state) {
  const int64_t N = state.range(0), I = 4096, O = 4096;
  const std::vector<float> x = random_floats(N * I), w = random_floats(O * I);
  std::vector<float> y(static_cast<size_t>(N * O)), scratch(static_cast<size_t>(cpu::linear_scratch(N, I)));
  for (auto _ : state) cpu::linear(N, I, O, x.data(), w.data(), nullptr, y.data(), scratch.data());
  set_bytes(state, 4.0 * static_cast<double>(O * I));
}
BENCHMARK(Linear)->ArgName("N")->Arg(1)->Arg(2)->Arg(4)->Arg(8)->Arg(9)->Arg(16)->Arg(32)->UseRealTime()->Unit(
    benchmark::kMillisecond);

void SoftmaxAttention(benchmark::State& state) {
  SoftmaxAttentionArgs<float> a;
  a.B = 1, a.T = state.range(0), a.S = state.range(1), a.H = 8, a.Hkv = state.range(2), a.Dk = 64, a.Dv = 64;
  const std::vector<float> q = random_floats(a.T * a.H * 64), k = random_floats(a.S * a.Hkv * 64),
                           v = random_floats(a.S * a.Hkv * 64);
  std::vector<float> o(q.size());
  std::vector<int64_t> query_pos, key_pos;
  for (int64_t t = 0; t < a.T; ++t) query_pos.push_back(a.S - a.T + t);
  for (int64_t s = 0; s < a.S; ++s) key_pos.push_back(s);
  a.q = q.data(), a.k = k.data(), a.v = v.data(), a.o = o.data();
  a.query_pos = query_pos.data(), a.key_pos = key_pos.data();
  a.scale = 0.125;
  std::vector<float> scratch(static_cast<size_t>(cpu::softmax_attention_scratch(a)));
  a.scratch = scratch.data();
  for (auto _ : state) cpu::softmax_attention(a);
  const auto pairs = static_cast<double>(a.T) * (static_cast<double>(a.S) - 0.5 * static_cast<double>(a.T - 1));
  set_flops(state, 4.0 * 64 * static_cast<double>(a.H) * pairs);
  state.counters["bytes"] =
      benchmark::Counter(8.0 * 64 * static_cast<double>(a.S * a.Hkv), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(SoftmaxAttention)
    ->ArgNames({"T", "S", "Hkv"})
    ->Args({1024, 1024, 8})
    ->Args({1024, 1024, 2})
    ->Args({1, 32768, 8})
    ->Args({1, 32768, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void Gelu(benchmark::State& state) {
  const int64_t n = 1 << 18;
  const std::vector<float> x = random_floats(n, 8);
  std::vector<float> y(x.size());
  for (auto _ : state) cpu::unary(cpu::Unary::kGelu, n, x.data(), y.data());
  set_bytes(state, 8.0 * static_cast<double>(n));
}
BENCHMARK(Gelu)->UseRealTime()->Unit(benchmark::kMicrosecond);

void Dropout(benchmark::State& state) {
  const int64_t n = 1 << 18;
  const std::vector<float> x = random_floats(n);
  std::vector<float> y(x.size());
  for (auto _ : state) cpu::dropout(n, 7, 0.1, x.data(), y.data());
  set_bytes(state, 8.0 * static_cast<double>(n));
}
BENCHMARK(Dropout)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace rebased::kernels
