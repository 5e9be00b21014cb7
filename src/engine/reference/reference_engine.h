#pragma once

#include <string>

#include "engine/tape/recording_engine.h"

namespace rebased {

// The oracle: values and gradients in double by the plain loops of the references. What other engines compute is
// compared with it, and its gradients with finite differences.
class ReferenceEngine : public RecordingEngine<double> {
 public:
  std::string name() const override { return "reference"; }

 protected:
  void give_product(Slopes& slopes, const Value& x, const Value& w) override;
};

}  // namespace rebased
