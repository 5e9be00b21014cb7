#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/batch.h"
#include "nn/context.h"
#include "store/parameters.h"
#include "store/state.h"

namespace rebased {

// States of all layers; rows are the batch.
class ModelState {
 public:
  std::vector<MixerState> layers;

  int64_t batch() const { return layers.empty() ? 0 : layers.front().batch(); }
  int64_t bytes() const;
  ModelState clone() const;
  ModelState select(std::span<const int64_t> rows) const;
  static ModelState join(std::span<const ModelState> states);  // the rows of all, in order
  void reset_rows(std::span<const int64_t> rows);
  void detach();
};

// What a model says of a batch: a loss and, for each target that was asked, where it stands among the targets, its
// negative log-likelihood and the best id.
struct ModelLoss {
  Value loss;                                        // scalar: what is minimised, the sum of
  std::vector<std::pair<std::string, Value>> parts;  // scalars by name: "cross_entropy", "auxiliary"
  std::vector<int64_t> positions;                    // indices into Batch::targets
  std::vector<float> nll;
  std::vector<int64_t> best;
};

// What trainer, evaluation and checkpoints know of a model. Declares its parameters when built: initialise or load them
// on an engine before the first pass.
class Model {
 public:
  Model() = default;
  virtual ~Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }
  Engine& engine() const;  // where its parameters lie

  // Throws ShapeError for inputs that it cannot read and when nothing is asked. state: null, or continued and advanced.
  virtual ModelLoss loss(const Batch& batch, const Context& ctx, ModelState* state = nullptr) = 0;
  // No layers where it has no state.
  virtual ModelState initial_state(Engine& /*engine*/, int64_t /*batch*/) const { return {}; }
  virtual int64_t state_bytes(int64_t /*batch*/, int64_t /*tokens*/) const { return 0; }
  // After the optimiser's step number `step` (from 0): redraws and moving averages, random by `key` alone.
  virtual void after_step(int64_t /*step*/, uint64_t /*key*/) {}

 private:
  ParameterStore parameters_;
};

}  // namespace rebased
