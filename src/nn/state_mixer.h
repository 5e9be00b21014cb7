#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/limits.h"
#include "config/options.h"
#include "nn/layers.h"

namespace rebased {

// Mixes the channels of each token on its own (the feed-forward part of a block).
class StateMixer {
 public:
  virtual ~StateMixer() = default;
  virtual Value forward(const Value& x) const = 0;  // [B, T, C] -> [B, T, C]
};

// Options of the kinds `identity`, `mlp`, `glu` and `swiglu`.
struct StateMixerOptions {
  std::string type = "identity";
  int64_t hidden = 0;
  double ratio = 4;
  int64_t multiple_of = 256;

  template <class V>
  void visit(V& v) {
    v("type", type, "identity; mlp: fc2(gelu(fc1 x)); glu: fc3(fc1 x * gelu(fc2 x)); swiglu: down(silu(gate x) * up x)",
      one_of({"identity", "mlp", "glu", "swiglu"}));
    v("hidden", hidden, "hidden width; 0: from ratio", between(0, kMostChannels));
    v("ratio", ratio, "hidden width over d_model (swiglu: two thirds of it, so that the parameters match)",
      between(kLeastNumber, kMostChannels));
    v("multiple_of", multiple_of, "swiglu: its hidden width is rounded up to a multiple of this",
      between(1, kMostChannels));
  }
};

// Hidden width that the options mean for C channels. swiglu: int(2/3 ratio C), or `hidden`, rounded up to multiple_of
// (Based's GatedMlp and fla's GatedMLP agree on it); mlp and glu: ratio C. Throws ConfigError where that is 0 or beyond
// kMostChannels; `path` names the state mixer.
int64_t hidden_width(const StateMixerOptions& options, int64_t C, const std::string& path);

std::unique_ptr<StateMixer> make_state_mixer(const StateMixerOptions& options, const Scope& scope, int64_t C);

}  // namespace rebased
