#pragma once

#include <any>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/layout.h"
#include "base/rng.h"
#include "cores/linear_attention/linear_attention.h"
#include "engine/vocabulary.h"

namespace rebased {

// Sees intermediate values by name ("layers.1.mixer.q", ...) while a forward pass runs: explanations and statistics.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void observe(std::string_view name, const Value& value) = 0;
};

// What a forward pass is told besides its input. Everything is optional; a mixer that cannot honour what is set refuses
// it by name (SequenceMixer::forward), nothing is silently ignored.
struct Context {
  bool training = false;     // dropout acts
  uint64_t dropout_key = 0;  // one key a step; each place derives its own stream from it

  Form form = Form::kAuto;  // algorithm inside linear mixers
  int64_t chunk = 0;        // their chunk length; 0: their choice

  const Layout* layout = nullptr;  // of the tokens; null: every row is one document that continues its state. Outputs
                                   // of padding mean nothing, and no gradient may come to them
  Value memory{};                  // [B, S, C]: what cross-attention reads, and its layout, as above
  const Layout* memory_layout = nullptr;
  std::vector<int64_t> outputs{};  // [B, N]: tokens, ascending in a row, whose outputs are wanted, as many of
                                   // each row; empty: of all

  Observer* observer = nullptr;
  std::map<std::string, std::any>* scratch =
      nullptr;  // shared by the layers of one pass (rotary tables, value residual)

  uint64_t dropout_stream(std::string_view place) const { return derive_key(dropout_key, place); }
  void observe(std::string_view name, const Value& value) const {
    if (observer != nullptr) observer->observe(name, value);
  }
};

}  // namespace rebased
