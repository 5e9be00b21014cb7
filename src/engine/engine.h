#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/value.h"
#include "engine/vocabulary.h"

namespace rebased {

class Autograd;
struct CoreUse;
namespace kernels {
struct PackedMatrix;
}

// Carries out the vocabulary. Models never call it: they call the free functions of vocabulary.h, which check operands
// and infer shapes once for every engine. Engines may rely on those checks.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual Autograd* autograd() { return nullptr; }  // null: values are computed and nothing is recorded
  virtual std::string name() const = 0;
  virtual DType compute_dtype() const = 0;  // of the values models compute with
  // A library that this engine alone needs, for the record of a run: its name and version; empty: none.
  virtual std::pair<std::string, std::string> library() const { return {}; }

  // --- values from and to host memory ---
  virtual Value from_host(const void* data, DType dtype, const Shape& shape, DType as) = 0;  // a copy
  // Weights used where they lie (float32 only); `owner` keeps them alive. Engines may copy instead.
  virtual Value borrow(const float* data, const Shape& shape, std::shared_ptr<const void> owner) = 0;
  // A whole matrix [O, I] that only linear, embedding and cross_entropy will read: engines may hold it in fewer bits.
  // Then they read it some rows after the other and call rows_read(begin, end) for those they will not read again.
  using RowsRead = std::function<void(int64_t begin, int64_t end)>;
  virtual Value matrix(const Value& whole, const RowsRead& /*rows_read*/ = {}) { return whole; }
  // A matrix packed elsewhere, used where it lies; `owner` keeps it alive. Throws DeviceError where it cannot be.
  virtual Value borrow_packed(const kernels::PackedMatrix& matrix, std::shared_ptr<const void> owner);
  virtual void to_host(const Value& x, void* data, DType as) = 0;
  // Float32 numbers where they lie in host memory, as long as the value lives; empty where they do not.
  virtual std::span<const float> host_view(const Value& /*x*/) { return {}; }
  virtual Value full(const Shape& shape, DType dtype, double fill) = 0;

  // --- the vocabulary, operands checked ---
  // Every operation that has a folder in cores/: its results. Operands as in the core's signature, empty where absent;
  // states none or all, advanced.
  virtual std::vector<Value> run(const CoreUse& use, std::span<const Value> operands,
                                 std::span<Value* const> states) = 0;
  virtual Value embedding(const Value& ids, const Value& table) = 0;
  virtual Value linear(const Value& x, const Value& w, const Value& bias) = 0;
  virtual Value add(const Value& a, const Value& b) = 0;
  virtual Value mul(const Value& a, const Value& b) = 0;
  virtual Value scale_shift(const Value& x, double scale, double shift) = 0;
  virtual Value unary(UnaryOp op, const Value& x) = 0;
  virtual Value sum_last(const Value& x) = 0;
  virtual Value reshape(const Value& x, const Shape& shape) = 0;
  virtual Value transpose(const Value& x) = 0;
  virtual Value slice(const Value& x, int dim, int64_t begin, int64_t length) = 0;
  virtual std::vector<Value> split(const Value& x, int dim, std::span<const int64_t> lengths) = 0;
  virtual Value concat(std::span<const Value> parts, int dim) = 0;
  virtual Value select_rows(const Value& x, std::span<const int64_t> rows) = 0;
  virtual Value write_time(Value&& cache, const Value& x, int64_t at) = 0;
  virtual CrossEntropy cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) = 0;
  virtual Value detach(const Value& x) = 0;
  virtual Value copy(const Value& x) = 0;
};

}  // namespace rebased
