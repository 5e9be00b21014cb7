#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/options.h"

namespace rebased {

// One field of every kind, with the names of the seeds in corpus/.
struct SampleMixer {
  std::string type = "rebased";
  int64_t num_heads = 12;
  double eps = 1e-12;
  template <class V>
  void visit(V& v) {
    v("type", type, "", one_of({"rebased", "based", "softmax"}));
    v("num_heads", num_heads, "", between(1, 1 << 20));
    v("eps", eps, "", between(0, 1));
  }
};

struct SampleOptions {
  uint64_t seed = 0;
  bool tie = false;
  std::vector<double> rates;
  std::optional<int32_t> window;
  SampleMixer mixer;
  std::vector<SampleMixer> layers;
  Json raw;
  template <class V>
  void visit(V& v) {
    v("seed", seed, "", any_value<uint64_t>());
    v("tie", tie, "");
    v("rates", rates, "", positive_number());
    v("window", window, "", between(-5, 5));
    v("mixer", mixer, "");
    v("layers", layers, "");
    v("raw", raw, "");
  }
};

inline void require(bool holds) {
  if (!holds) std::abort();
}

// Options either are refused with ConfigError or survive being written and read again.
inline void check_options(const Json& document) {
  std::optional<SampleOptions> options;
  try {
    options = options_from_json<SampleOptions>(document, "fuzz");
  } catch (const ConfigError&) {
    return;
  }
  const Json written = options_to_json(*options);
  require(options_to_json(options_from_json<SampleOptions>(written, "fuzz")) == written);
}

}  // namespace rebased
