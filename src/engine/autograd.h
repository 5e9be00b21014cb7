#pragma once

#include <cstdint>
#include <span>

#include "engine/update.h"
#include "engine/value.h"

namespace rebased {

// Type of the operands of matrix products with weights: float32, or bfloat16 rounded to nearest from float32 weights,
// activations and gradients (Micikevicius et al., arXiv:1710.03740, with the range of float32 in place of loss
// scaling). Weights, gradients of weights and everything between the products stay in the engine's type.
enum class Precision : uint8_t { kF32, kBF16 };

// What training asks of an engine beyond the vocabulary. An engine that has it records what its values are computed
// from, as far as that leads back to tracked values.
class Autograd {
 public:
  virtual ~Autograd() = default;

  // Makes a value one that gradients are taken to, in place. Every later use of it is recorded.
  virtual void track(const Value& leaf) = 0;
  // Adds to the gradient of each tracked value that of sum over outputs <weight, output>; a weight has its output's
  // shape. What was recorded of the outputs is used up.
  virtual void backward(std::span<const Value> outputs, std::span<const Value> weights) = 0;
  virtual Value gradient(const Value& leaf) const = 0;  // empty: nothing that was differentiated depends on it
  virtual void clear_gradient(const Value& leaf) = 0;
  virtual bool set_recording(bool on) = 0;  // what it was; on at first

  virtual double sum_of_squares(const Value& x) = 0;
  // Carries out an update on its arrays, which have one shape, in place.
  virtual void update(const Update& update, std::span<const Value> arrays) = 0;
};

// Nothing is recorded while it lives. Without autograd (null) it does nothing.
class RecordingOff {
 public:
  explicit RecordingOff(Autograd* autograd)
      : autograd_(autograd), was_(autograd != nullptr && autograd->set_recording(false)) {}
  ~RecordingOff() {
    if (autograd_ != nullptr) autograd_->set_recording(was_);
  }
  RecordingOff(const RecordingOff&) = delete;
  RecordingOff& operator=(const RecordingOff&) = delete;

 private:
  Autograd* autograd_;
  bool was_;
};

}  // namespace rebased
