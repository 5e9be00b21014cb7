#pragma once

#include <string>

#include "config/limits.h"
#include "config/options.h"
#include "nn/layers.h"

namespace rebased {

// Maps of queries and keys for linear attention; docs/mixers/linear_attention.md has the table and the sources.
// cosformer is left out: it depends on the sequence length and so has no streaming form.
struct FeatureMapOptions {
  std::string name = "elu";
  double temperature = 1;
  double floor = 0;
  int64_t size = 0;
  int64_t nu = 4;
  bool tie = true;
  bool bias = false;

  template <class V>
  void visit(V& v) {
    v("name", name, "the map",
      one_of({"elu", "relu", "identity", "square", "scaled_square", "taylor", "taylor_packed", "all_poly", "performer",
              "hedgehog", "dpfp", "hadamard"}));
    v("temperature", temperature, "elu and relu: factor on their input", positive_number());
    v("floor", floor, "relu: smallest feature", number_from_zero());
    v("size", size, "all_poly and performer: number of features; 0: feature_dim, or 256 for performer",
      between(0, kMostChannels));
    v("nu", nu, "dpfp: shifts", between(1, kMostChannels));
    v("tie", tie, "maps with parameters: one map for q and k");
    v("bias", bias, "hedgehog: a bias behind its matrix (fla)");
  }
};

// x [..., D] -> [..., size()]
class FeatureMap {
 public:
  FeatureMap() = default;
  // Throws ConfigError for an option that the chosen map does not have.
  FeatureMap(const FeatureMapOptions& options, const Scope& scope, int64_t dim);

  Value operator()(const Value& x) const;
  int64_t size() const { return size_; }

 private:
  Value relu_map(const Value& x) const;
  Value performer(const Value& x) const;
  Value hedgehog(const Value& x) const;
  Value dpfp(const Value& x) const;

  FeatureMapOptions options_;
  int64_t dim_ = 0;
  int64_t size_ = 0;
  Linear first_, second_;
  Param* projection_ = nullptr;
  Param* bias_ = nullptr;
};

}  // namespace rebased
