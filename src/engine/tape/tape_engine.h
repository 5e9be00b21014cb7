#pragma once

#include <string>

#include "engine/tape/recording_engine.h"
#include "kernels/bf16_product.h"

namespace rebased {

// Training on the CPU without libtorch: float32 with the kernels' gradients. `products` is the type that operands of
// linear and of the head are rounded to.
class TapeEngine : public RecordingEngine<float> {
 public:
  explicit TapeEngine(Precision products = Precision::kF32) : products_(products) {}

  std::string name() const override { return "cpu training"; }

 protected:
  Precision products() const override { return products_; }
  Value product(const Value& x, const Value& w, const Value& bias) override;
  void give_product(Slopes& slopes, const Value& x, const Value& w) override;

 private:
  Value rounded_product(const Value& x, const Value& w, const Value& bias);
  void give_rounded_product(Slopes& slopes, const Value& x, const Value& w);
  void multiply(kernels::Bf16ProductArgs args);

  Precision products_;
};

}  // namespace rebased
