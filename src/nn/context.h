#pragma once

#include <any>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

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

// What a forward pass is told besides its input. Everything is optional; a mixer that cannot honour a field that is set
// refuses it by name (SequenceMixer::forward checks its traits), nothing is silently ignored.
struct Context {
  bool training = false;     // dropout acts
  uint64_t dropout_key = 0;  // one key a step; each place derives its own stream from it

  Form form = Form::kAuto;  // algorithm inside linear mixers
  int64_t chunk = 0;        // their chunk length; 0: their choice

  Value padding{};                    // [B, T] in the compute dtype: 1 for a token, 0 for padding
  Value document_ids{};               // [B, T] i64: state is reset where it changes inside a packed row
  std::vector<int64_t> prefix_len{};  // [B]: leading tokens of the row, all in this call, that may all see
                                      // each other (prefix language models, JRT)
  std::vector<int64_t> outputs{};     // [B, N]: tokens, ascending in a row, whose outputs are wanted, as many of
                                      // each row; empty: of all
  Value memory{};                     // [B, S, C]: keys and values of cross-attention
  Value memory_padding{};             // [B, S]

  Observer* observer = nullptr;
  std::map<std::string, std::any>* scratch =
      nullptr;  // shared by the layers of one pass (rotary tables, value residual)

  uint64_t dropout_stream(std::string_view place) const { return derive_key(dropout_key, place); }
  void observe(std::string_view name, const Value& value) const {
    if (observer != nullptr) observer->observe(name, value);
  }
};

}  // namespace rebased
