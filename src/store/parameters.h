#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/rng.h"
#include "engine/value.h"
#include "io/safetensors.h"

namespace rebased {

// Fills a parameter's initial elements; `shape` is the parameter's.
using Init = std::function<void(std::span<float> data, const Shape& shape, Rng& rng)>;

namespace init {
Init constant(double value);
Init normal(double std);                    // N(0, std^2)
Init uniform(double bound);                 // U(-bound, bound)
Init identity();                            // 1 on the diagonal of [N, N], else 0
Init normal_rows_orthogonal(double scale);  // rows of orthogonalised Gaussian blocks times `scale` (Performer)
}  // namespace init

// Whether the optimiser's weight decay takes a parameter.
enum class WeightDecay : uint8_t {
  kAlways,
  kWithAll,  // where a recipe has all parameters decay (optimizer.decay = "all"), and not where matrices only
  kNever,    // whatever a recipe says
};

// How the optimiser treats a parameter: {.decay = WeightDecay::kNever, .lr_scale = 0.1}.
struct ParamGroup {
  WeightDecay decay = WeightDecay::kAlways;
  double lr_scale = 1;  // times the recipe's learning rate, and so times what decays in a step; positive
};

struct ParamSpec {
  std::string name;  // dotted, unique in the model
  Shape shape;
  Init init;
  bool trainable = true;  // false: a buffer, saved with the model and never updated
  ParamGroup group{};
  bool matrix = false;  // [O, I], read by linear, embedding and cross_entropy alone
};

struct Param {
  ParamSpec spec;
  Value value;  // empty until materialised or loaded
};

// The parameters of a model, in order of declaration. A model is built by declaring; it can be counted and printed
// before any engine exists. Addresses of Params stay valid while the store lives.
class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  Param& declare(
      ParamSpec spec);  // throws ConfigError for a name declared twice and for an lr_scale that is not positive
  Param& at(std::string_view name);
  std::deque<Param>& params() { return params_; }
  const std::deque<Param>& params() const { return params_; }
  int64_t trainable_count() const;  // elements

  // Initial values on `engine`; each parameter's depend on (seed, its name) alone.
  void initialise(Engine& engine, uint64_t seed);
  // Values from a model's tensors, converted to the engine's dtype; used in place where the engine and the file allow,
  // packed matrices always. Throws FormatError listing missing, unexpected and misshapen tensors by name, and
  // DeviceError where the engine does not compute with the file's packed matrices; `file` opens its message.
  void load(Engine& engine, const TensorSource& source, std::string_view file);

 private:
  std::deque<Param> params_;
  std::unordered_map<std::string_view, Param*> by_name_;  // of the names in params_
};

// Where a module declares its parameters: a prefix in the store and the defaults of the model's initialisation.
class Scope {
 public:
  Scope(ParameterStore& store, std::string prefix, double init_std, double residual_std)
      : store_(&store), prefix_(std::move(prefix)), init_std_(init_std), residual_std_(residual_std) {}

  Scope child(std::string_view name) const;
  Param& param(std::string_view name, const Shape& shape, Init init, ParamGroup group = {}) const;
  Param& matrix(std::string_view name, const Shape& shape, Init init, ParamGroup group = {}) const;  // see ParamSpec
  Param& gain_or_bias(std::string_view name, const Shape& shape, Init init) const;  // WeightDecay::kWithAll
  Param& buffer(std::string_view name, const Shape& shape, Init init) const;        // not trained
  const std::string& prefix() const { return prefix_; }
  double init_std() const { return init_std_; }          // of projections and embeddings
  double residual_std() const { return residual_std_; }  // of projections back into the residual stream

 private:
  std::string full_name(std::string_view name) const;

  ParameterStore* store_;
  std::string prefix_;
  double init_std_;
  double residual_std_;
};

}  // namespace rebased
