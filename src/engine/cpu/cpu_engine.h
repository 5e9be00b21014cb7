#pragma once

#include <memory>
#include <optional>
#include <span>

#include "engine/cpu/host_engine.h"
#include "kernels/packed_linear.h"

namespace rebased {

// Inference: forward only, float32, weights used where they lie in the mapped file, packed or not, or packed into fewer
// bits when they are given to the engine.
class CpuEngine : public HostEngine<float> {
 public:
  using Packing = kernels::Packing;

  explicit CpuEngine(std::optional<Packing> weights = {}) : weights_(weights) {}

  static int64_t bytes_held(const Value& x);  // by the value's numbers, and scales where it is packed

  std::string name() const override { return "cpu"; }

  Value borrow(const float* data, const Shape& shape, std::shared_ptr<const void> owner) override;
  Value matrix(const Value& whole, const RowsRead& rows_read = {}) override;
  Value borrow_packed(const kernels::PackedMatrix& matrix, std::shared_ptr<const void> owner) override;
  void to_host(const Value& x, void* data, DType as) override;
  std::span<const float> host_view(const Value& x) override;

  Value embedding(const Value& ids, const Value& table) override;
  Value linear(const Value& x, const Value& w, const Value& bias) override;
  CrossEntropy cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) override;

 private:
  Value unpacked(const Value& x);

  std::optional<Packing> weights_;
};

}  // namespace rebased
