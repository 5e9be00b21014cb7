#include "bench/limits.h"

#include <cblas.h>

#include <array>
#include <vector>

#include "base/threads.h"
#include "bench/floats.h"
#include "bench/scaling.h"

namespace rebased {
namespace {

constexpr int kGemm = 1024;
constexpr int64_t kReadFloats = int64_t{1} << 26;  // 256 MiB: beyond every cache
constexpr int64_t kReadBlock = int64_t{1} << 16;

}  // namespace

struct GemmProbe::Buffers {
  Floats a = normal_floats(kGemm * kGemm, 1), b = normal_floats(kGemm * kGemm, 2), c = Floats(kGemm * kGemm);
};

GemmProbe::GemmProbe() : buffers_(std::make_shared<Buffers>()) {}

double GemmProbe::operations() { return 2.0 * kGemm * kGemm * kGemm; }

void GemmProbe::operator()() const {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kGemm, kGemm, kGemm, 1, buffers_->a.data(), kGemm,
              buffers_->b.data(), kGemm, 0, buffers_->c.data(), kGemm);
}

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
      buffer.sums[static_cast<size_t>(block)] =
          cblas_sasum(kReadBlock, &buffer.data[static_cast<size_t>(block * kReadBlock)], 1);
    }
  });
}

MachineLimits measure_limits(const TimingOptions& options) {
  MachineLimits limits{.threads = thread_count()};
  GemmProbe gemm;
  ReadProbe read;
  const std::array<std::function<void()>, 4> works = {on_one_thread(gemm), gemm, on_one_thread(read), read};
  const std::vector<Timing> timings = time_in_turn(works, options);
  limits.gemm_one = GemmProbe::operations() / timings[0].median;
  limits.gemm = GemmProbe::operations() / timings[1].median;
  limits.read_one = ReadProbe::bytes() / timings[2].median;
  limits.read = ReadProbe::bytes() / timings[3].median;
  return limits;
}

}  // namespace rebased
