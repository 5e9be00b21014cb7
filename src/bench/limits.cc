#include "bench/limits.h"

#include <numeric>
#include <vector>

#include "base/threads.h"
#include "bench/floats.h"
#include "bench/scaling.h"
#include "kernels/bf16_product.h"
#include "kernels/blas_product.h"
#include "kernels/packed_linear.h"

namespace rebased {
namespace {

constexpr int kGemm = 1024;
constexpr int64_t kReadFloats = int64_t{1} << 26;  // 256 MiB: beyond every cache
constexpr int64_t kReadBlock = int64_t{1} << 16;

// x w^T of 1024^3 with packed weights.
class PackedProbe {
 public:
  explicit PackedProbe(kernels::Packing packing) : buffers_(std::make_shared<Buffers>(packing)) {}
  void operator()() const {
    Buffers& b = *buffers_;
    kernels::cpu::packed_linear(kGemm, b.x.data(), b.matrix(), nullptr, b.y.data(), b.scratch.data());
  }

 private:
  struct Buffers {
    explicit Buffers(kernels::Packing type) : packing(type) {
      const Floats w = normal_floats(kGemm * kGemm, 2);
      data.resize(static_cast<size_t>(kernels::packed_data_bytes(packing, kGemm, kGemm)));
      scales.resize(static_cast<size_t>(kernels::packed_scale_bytes(packing, kGemm, kGemm)));
      kernels::pack(packing, kGemm, kGemm, w.data(), data.data(), scales.data());
      const auto floats = [&] { return kernels::cpu::packed_linear_scratch(kGemm, matrix()); };
      scratch.resize(static_cast<size_t>(most_over_threads(floats)));
    }
    kernels::PackedMatrix matrix() const { return {packing, kGemm, kGemm, data.data(), scales.data()}; }

    kernels::Packing packing;
    Floats x = normal_floats(kGemm * kGemm, 1), y = Floats(kGemm * kGemm), scratch;
    std::vector<uint8_t, LineAllocator<uint8_t>> data, scales;
  };
  std::shared_ptr<Buffers> buffers_;
};

}  // namespace

struct GemmProbe::Buffers {
  Floats a = normal_floats(kGemm * kGemm, 1), b = normal_floats(kGemm * kGemm, 2), c = Floats(kGemm * kGemm);
};

GemmProbe::GemmProbe() : buffers_(std::make_shared<Buffers>()) {}

double GemmProbe::operations() { return 2.0 * kGemm * kGemm * kGemm; }

void GemmProbe::operator()() const {
  kernels::cpu::blas_product(
      {.M = kGemm, .N = kGemm, .K = kGemm, .a = buffers_->a.data(), .b = buffers_->b.data(), .c = buffers_->c.data()});
}

struct Bf16Probe::Buffers {
  Floats a = normal_floats(kGemm * kGemm, 1), b = normal_floats(kGemm * kGemm, 2), c = Floats(kGemm * kGemm), scratch;
  kernels::Bf16ProductArgs args() {
    return {.M = kGemm, .N = kGemm, .K = kGemm, .a = a.data(), .b = b.data(), .c = c.data(), .ldc = kGemm};
  }
};

Bf16Probe::Bf16Probe() : buffers_(std::make_shared<Buffers>()) {
  const auto floats = [&] { return kernels::cpu::bf16_product_scratch(buffers_->args()); };
  buffers_->scratch.resize(static_cast<size_t>(most_over_threads(floats)));
}

void Bf16Probe::operator()() const {
  kernels::Bf16ProductArgs args = buffers_->args();
  args.scratch = buffers_->scratch.data();
  kernels::cpu::bf16_product(args);
}

std::function<void()> product_probe(bool bf16) {
  if (bf16 && kernels::cpu::has_bf16_products()) return Bf16Probe();
  return GemmProbe();
}

namespace {

// A line at a time, so that additions do not wait for each other and memory is what limits.
float sum_block(const float* data) {
  constexpr int kLine = 16;
  float sums[kLine] = {};
  for (int64_t i = 0; i < kReadBlock; i += kLine) {
    for (int j = 0; j < kLine; ++j) sums[j] += data[i + j];
  }
  return std::accumulate(sums, sums + kLine, 0.0f);
}

}  // namespace

struct ReadProbe::Buffer {
  Floats data = Floats(static_cast<size_t>(kReadFloats), 1.0f);
  std::vector<float> sums = std::vector<float>(static_cast<size_t>(kReadFloats / kReadBlock));
};

ReadProbe::ReadProbe() : buffer_(std::make_shared<Buffer>()) {}

double ReadProbe::bytes() { return static_cast<double>(kReadFloats) * sizeof(float); }

void ReadProbe::operator()() const {
  Buffer& buffer = *buffer_;
  parallel_for(static_cast<int64_t>(buffer.sums.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      buffer.sums[static_cast<size_t>(block)] = sum_block(&buffer.data[static_cast<size_t>(block * kReadBlock)]);
    }
  });
}

std::vector<MachineLimit> measure_limits(const TimingOptions& options) {
  using kernels::Packing;
  struct Probe {
    MachineLimit limit;
    double amount;  // operations or bytes of a call
    std::function<void()> work;
  };
  const double operations = GemmProbe::operations();
  const Probe probes[] = {{{"gemm_f32", "float32 matrix product", "GFLOP/s"}, operations, GemmProbe()},
                          {{"gemm_rounded", "of numbers rounded to bfloat16", "GFLOP/s"}, operations, Bf16Probe()},
                          {{"gemm_bf16", "with bfloat16 weights", "GFLOP/s"}, operations, PackedProbe(Packing::kBF16)},
                          {{"gemm_int8", "with int8 weights", "GFLOP/s"}, operations, PackedProbe(Packing::kI8)},
                          {{"gemm_int4", "with int4 weights", "GFLOP/s"}, operations, PackedProbe(Packing::kI4)},
                          {{"read", "reading memory", "GB/s"}, ReadProbe::bytes(), ReadProbe()}};
  std::vector<std::function<void()>> works;
  for (const Probe& probe : probes) works.insert(works.end(), {on_one_thread(probe.work), probe.work});
  const std::vector<Timing> timings = time_in_turn(works, options);
  std::vector<MachineLimit> limits;
  for (const Probe& probe : probes) {
    MachineLimit& limit = limits.emplace_back(probe.limit);
    limit.one_thread = probe.amount / timings[2 * limits.size() - 2].median;
    limit.all = probe.amount / timings[2 * limits.size() - 1].median;
  }
  return limits;
}

}  // namespace rebased
