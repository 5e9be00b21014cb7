#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/timing.h"

namespace rebased {

// What the machine can do at best, measured: the floor under every other figure.
struct MachineLimit {
  std::string key;                 // "gemm_f32"
  std::string what, unit;          // for people, of the rates in units of 1e9
  double one_thread = 0, all = 0;  // a second, with one thread and with all
};

// Products of 1024^3: of float32 by OpenBLAS, of float32 rounded to bfloat16 by bf16_product, and with weights in fewer
// bits by packed_linear, which is how this program multiplies them; and bytes read from memory.
std::vector<MachineLimit> measure_limits(const TimingOptions& options);

// The measures that others are shares of, as work to be timed in turn with other work.
class GemmProbe {
 public:
  GemmProbe();
  void operator()() const;
  static double operations();

 private:
  struct Buffers;
  std::shared_ptr<Buffers> buffers_;
};

// The same product of operands rounded to bfloat16.
class Bf16Probe {
 public:
  Bf16Probe();
  void operator()() const;

 private:
  struct Buffers;
  std::shared_ptr<Buffers> buffers_;
};

// What products of float32 numbers, or of such as are rounded to bfloat16 where the processor multiplies those itself,
// are measured by.
std::function<void()> product_probe(bool bf16);

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
