#include "nn/input.h"

#include "base/error.h"
#include "engine/engine.h"
#include "nn/layers.h"
#include "nn/model_config.h"

namespace rebased {
namespace {

class TokenInput : public Input {
 public:
  TokenInput(const ModelConfig& config, const Scope& scope)
      : table_(&scope.matrix("word_embeddings.weight", Shape({config.vocab_size, config.d_model}),
                             init::normal(config.init_std))) {}

  Shape extents(const Batch& batch) const override {
    const Batch::Input& tokens = batch.input("tokens");
    const Dims dims = Dims("input").check("tokens", tokens.shape, "B T");
    if (static_cast<int64_t>(tokens.ids.size()) != dims["B"] * dims["T"])
      throw ShapeError("[input] tokens: expected {} ids, found {}", dims["B"] * dims["T"], tokens.ids.size());
    return tokens.shape;
  }
  Value embed(const Batch& batch, Engine& engine) const override {
    const std::vector<int64_t>& ids = batch.input("tokens").ids;
    return embedding(engine.from_host(ids.data(), DType::kI64, extents(batch), DType::kI64), table_->value);
  }
  const Param* table() const override { return table_; }

 private:
  Param* table_;
};

class FeatureInput : public Input {
 public:
  FeatureInput(const ModelConfig& config, const Scope& scope)
      : width_(config.input.width), projection_(scope.child("projection"), width_, config.d_model, true) {}

  Shape extents(const Batch& batch) const override {
    const Batch::Input& features = batch.input("features");
    const Dims dims = Dims("input").check("features", features.shape, "B T F");
    if (dims["F"] != width_ || static_cast<int64_t>(features.numbers.size()) != features.shape.numel()) {
      throw ShapeError("[input] features: expected [B, T, {}], found {} with {} numbers", width_, features.shape.str(),
                       features.numbers.size());
    }
    return Shape({dims["B"], dims["T"]});
  }
  Value embed(const Batch& batch, Engine& engine) const override {
    extents(batch);
    const Batch::Input& features = batch.input("features");
    return projection_(engine.from_host(features.numbers.data(), DType::kF32, features.shape, engine.compute_dtype()));
  }

 private:
  int64_t width_;
  Linear projection_;
};

}  // namespace

std::unique_ptr<Input> make_input(const ModelConfig& config, const Scope& scope) {
  const InputOptions& options = config.input;
  if (options.type == "tokens") {
    if (options.width != 0) throw ConfigError("input.width cannot take effect with tokens");
    return std::make_unique<TokenInput>(config, scope);
  }
  if (options.width == 0) throw ConfigError("input.width: features need a width, found 0");
  return std::make_unique<FeatureInput>(config, scope);
}

}  // namespace rebased
