#pragma once

#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/core.h"
#include "engine/cpu/arena.h"
#include "engine/engine.h"

namespace rebased {

// The vocabulary on dense arrays in host memory, which comes from one arena. Float runs the kernels, double the plain
// loops of their references. One engine serves one thread of calls at a time; the kernels inside use every thread of
// base/threads.h.
template <class Real>
class HostEngine : public Engine {
 public:
  const Arena& arena() const { return *arena_; }

  DType compute_dtype() const override { return kReal; }

  Value from_host(const void* data, DType dtype, const Shape& shape, DType as) override;
  Value borrow(const float* data, const Shape& shape, std::shared_ptr<const void> owner) override;  // a copy
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
  static constexpr DType kReal = std::is_same_v<Real, float> ? DType::kF32 : DType::kF64;

  HostEngine() : arena_(Arena::create()) {}

  Value make(const Shape& shape, DType dtype = kReal);
  std::shared_ptr<void> memory(int64_t bytes);
  std::shared_ptr<void> scratch(int64_t reals);
  Value make_embedded(const Value& ids, const Value& table);  // room for the rows; throws for an id that has none

  // What a core makes: its results, and what its gradient reads besides, if that is to be kept.
  struct CoreOutputs {
    std::vector<Value> results, kept;
  };
  CoreOutputs compute(const CoreUse& use, std::span<const Value> operands, std::span<Value* const> states, bool keep);

  // The head with gradients of both operands, where those are not null.
  CrossEntropy head(const Value& x, const Value& e, std::span<const int64_t> labels, Real* d_x, Real* d_e, bool bf16);

 private:
  std::vector<Value> make_results(const CoreUse& use, std::span<const Signature::Result> results);

  std::shared_ptr<Arena> arena_;
};

extern template class HostEngine<float>;
extern template class HostEngine<double>;

}  // namespace rebased
