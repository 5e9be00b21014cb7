#pragma once

#include <memory>
#include <string>

#include "base/batch.h"
#include "config/limits.h"
#include "config/options.h"
#include "store/parameters.h"

namespace rebased {

struct ModelConfig;

// What a model reads.
struct InputOptions {
  std::string type = "tokens";
  int64_t width = 0;

  template <class V>
  void visit(V& v) {
    v("type", type, "tokens: ids, looked up in a table; features: numbers [B, T, width], projected",
      one_of({"tokens", "features"}));
    v("width", width, "features: numbers of each token", between(0, kMostChannels));
  }
};

// The input side of a model: from what a batch holds to the stream [B, T, C].
class Input {
 public:
  virtual ~Input() = default;
  virtual Shape extents(const Batch& batch) const = 0;                // [B, T]; throws ShapeError
  virtual Value embed(const Batch& batch, Engine& engine) const = 0;  // [B, T, C]
  virtual const Param* table() const { return nullptr; }  // [V, C], a row for each id, that a head may share
};

// Parameters below `scope`. Throws ConfigError for an option that cannot take effect.
std::unique_ptr<Input> make_input(const ModelConfig& config, const Scope& scope);

}  // namespace rebased
