#pragma once

#include <initializer_list>
#include <vector>

#include "engine/autograd.h"
#include "engine/cpu/host_engine.h"
#include "engine/tape/tape.h"

namespace rebased {

// An engine in host memory that records what its values are computed from and differentiates it with the gradients of
// kernels/.
template <class Real>
class RecordingEngine : public HostEngine<Real>, public Autograd {
 public:
  Autograd* autograd() override { return this; }

  void track(const Value& leaf) override;
  void backward(std::span<const Value> outputs, std::span<const Value> weights) override;
  Value gradient(const Value& leaf) const override;
  void clear_gradient(const Value& leaf) override;
  bool set_recording(bool on) override;
  double sum_of_squares(const Value& x) override;
  void update(const Update& update, std::span<const Value> arrays) override;

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
  Value detach(const Value& x) override { return without_history(x); }
  Value copy(const Value& x) override;

 protected:
  using Host = HostEngine<Real>;
  using Host::kReal;
  using Host::make;
  using Host::scratch;

  // The type that operands of linear and of the head are rounded to, and linear and its gradient with that.
  virtual Precision products() const { return Precision::kF32; }
  virtual Value product(const Value& x, const Value& w, const Value& bias) { return Host::linear(x, w, bias); }
  virtual void give_product(Slopes& slopes, const Value& x, const Value& w) = 0;

 private:
  using Backward = std::function<void(Slopes&)>;
  using Operands = std::initializer_list<Value>;
  // The edges to these operands; none where nothing is to be recorded. Asked for before an operation that may advance a
  // state in place.
  std::vector<TapeNode::Edge> edges(std::span<const Value> operands) const;
  std::vector<TapeNode::Edge> edges(Operands operands) const {
    return edges(std::span<const Value>(operands.begin(), operands.size()));
  }
  // Makes the outputs results of a recorded operation.
  void record(std::vector<TapeNode::Edge> inputs, std::span<Value* const> outputs, Backward backward);
  // `y` as a result of these operands, if anything is to be recorded.
  Value recorded(Value y, Operands operands, const std::function<Backward()>& backward);

  void join(Value& sum, Value part);
  // Memory for an array of dy's shape: dy's own where nobody else sees it.
  Value in_place_of(Value& dy);
  Value zeros(const Shape& shape) { return this->full(shape, kReal, 0); }
  Value columns_of(const Value& dy, const Value& like);  // dy summed over what `like` was repeated over

  struct CoreRecord;
  void give_core(Slopes& slopes, const CoreRecord& of);

  // The backward pass of operations that take rows.
  void give_rows(Slopes& slopes, std::span<const int64_t> taken, const Shape& shape, int input);

  bool recording_ = true;
  int64_t operations_ = 0;
};

extern template class RecordingEngine<float>;
extern template class RecordingEngine<double>;

}  // namespace rebased
