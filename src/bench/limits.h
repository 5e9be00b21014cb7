#pragma once

#include <functional>
#include <memory>

#include "bench/timing.h"

namespace rebased {

// What the machine can do at best, measured: the floor under every other figure.
struct MachineLimits {
  int threads = 1;
  double gemm_one = 0, gemm = 0;  // float32 operations a second of OpenBLAS on 1024^3, with one thread and with all
  double read_one = 0, read = 0;  // bytes a second read from memory, as both
};

MachineLimits measure_limits(const TimingOptions& options);

// The same two measures as work to be timed in turn with other work.
class GemmProbe {
 public:
  GemmProbe();
  void operator()() const;
  static double operations();

 private:
  struct Buffers;
  std::shared_ptr<Buffers> buffers_;
};

class ReadProbe {
 public:
  ReadProbe();
  void operator()() const;
  static double bytes();

 private:
  struct Buffer;
  std::shared_ptr<Buffer> buffer_;
};

}  // namespace rebased
