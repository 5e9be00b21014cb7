#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/value.h"

namespace rebased {

// What a mixer says of one array of its state: of one batch row.
struct StateArray {
  std::string name;
  Shape shape;                   // without dimension 0, the batch row
  double fresh = 0;              // every element's value before the first token
  std::optional<DType> dtype{};  // none: the engine's compute dtype; I64: positions of tokens in the row, or fresh

  Shape with_rows(int64_t batch) const;  // [B, ...]
};

// What one mixer remembers of the tokens it has seen: named arrays with dimension 0 the batch row, and how many tokens
// each row has seen. A value: clone() copies, and a clone never shares arrays with its origin. Batch rows are
// independent.
class MixerState {
 public:
  struct Array {
    std::string name;
    Value value;       // [B, ...]
    double fresh = 0;  // every element's value before the first token
  };

  MixerState() = default;
  // Fresh rows. Empty extents are allowed (a cache that has yet to grow).
  MixerState(Engine& engine, int64_t batch, std::span<const StateArray> arrays);

  Value& operator[](std::string_view name);  // throws ShapeError for a name it does not have
  const std::vector<Array>& arrays() const { return arrays_; }
  int64_t batch() const { return static_cast<int64_t>(positions.size()); }

  MixerState clone() const;
  MixerState select(std::span<const int64_t> rows) const;  // row i of the result is rows[i]: reorder, drop, repeat
  // The rows of all, in order. Where dimension 1 of an array differs, as that of caches does, fresh elements stand in
  // front of the shorter ones: the newest token is last in all. Throws ShapeError for states of different mixers, or
  // none.
  static MixerState join(std::span<const MixerState> states);
  void reset_rows(std::span<const int64_t> rows);  // those rows as if they had seen nothing
  void detach();                                   // no gradient flows into what came before
  int64_t bytes() const;                           // held by the arrays

  std::vector<int64_t> positions;  // [B]: tokens seen

 private:
  std::vector<Array> arrays_;
};

}  // namespace rebased
