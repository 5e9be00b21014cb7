#pragma once

#include <memory>
#include <optional>
#include <span>

#include "engine/core.h"
#include "engine/cpu/arena.h"
#include "engine/engine.h"
#include "kernels/packed_linear.h"

namespace rebased {

// Inference: forward only, float32, kernels/cpu on memory from one arena, weights used where they lie in the mapped
// file, packed or not, or packed into fewer bits when they are given to the engine. One engine serves one thread of
// calls at a time; the kernels inside use every thread of base/threads.h.
class CpuEngine : public Engine {
 public:
  using Packing = kernels::Packing;

  explicit CpuEngine(std::optional<Packing> weights = {}) : arena_(Arena::create()), weights_(weights) {}

  const Arena& arena() const { return *arena_; }
  static int64_t bytes_held(const Value& x);  // by the value's numbers, and scales where it is packed

  std::string name() const override { return "cpu"; }
  DType compute_dtype() const override { return DType::kF32; }

  Value from_host(const void* data, DType dtype, const Shape& shape, DType as) override;
  Value borrow(const float* data, const Shape& shape, std::shared_ptr<const void> owner) override;
  Value matrix(const Value& whole, const RowsRead& rows_read = {}) override;
  Value borrow_packed(const kernels::PackedMatrix& matrix, std::shared_ptr<const void> owner) override;
  void to_host(const Value& x, void* data, DType as) override;
  std::span<const float> host_view(const Value& x) override;
  Value full(const Shape& shape, DType dtype, double fill) override;

  std::vector<Value> run(const CoreUse& use, std::span<const Value> operands, std::span<Value* const> states) override;
  Value embedding(const Value& ids, const Value& table) override;
  Value linear(const Value& x, const Value& w, const Value& bias) override;
  Value add(const Value& a, const Value& b) override;
  Value mul(const Value& a, const Value& b) override;
  Value scale_shift(const Value& x, double scale, double shift) override;
  Value unary(UnaryOp op, const Value& x) override;
  Value sum_last(const Value& x) override;
  Value reshape(const Value& x, const Shape& shape) override;
  Value transpose(const Value& x) override;
  Value slice(const Value& x, int dim, int64_t begin, int64_t length) override;
  std::vector<Value> split(const Value& x, int dim, std::span<const int64_t> lengths) override;
  Value concat(std::span<const Value> parts, int dim) override;
  Value select_rows(const Value& x, std::span<const int64_t> rows) override;
  Value write_time(Value&& cache, const Value& x, int64_t at) override;
  CrossEntropy cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) override;
  Value detach(const Value& x) override { return x; }
  Value copy(const Value& x) override;

 protected:
  Value make(const Shape& shape, DType dtype = DType::kF32);
  std::shared_ptr<void> scratch(int64_t floats);

  // What a core makes: its results, and what its gradient reads besides, if that is to be kept.
  struct CoreOutputs {
    std::vector<Value> results, kept;
  };
  CoreOutputs compute(const CoreUse& use, std::span<const Value> operands, std::span<Value* const> states, bool keep);

  // The head with gradients of both operands, where those are not null.
  CrossEntropy head(const Value& x, const Value& e, std::span<const int64_t> labels, float* d_x, float* d_e, bool bf16);

 private:
  std::vector<Value> make_results(const CoreUse& use, std::span<const Signature::Result> results);
  Value unpacked(const Value& x);

  std::shared_ptr<Arena> arena_;
  std::optional<Packing> weights_;
};

}  // namespace rebased
