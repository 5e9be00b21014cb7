#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/value.h"

namespace rebased {

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
  explicit MixerState(int64_t batch) : positions(static_cast<size_t>(batch), 0) {}

  // Adds an array of fresh elements. Empty extents are allowed (a cache that has yet to grow).
  void add(Engine& engine, std::string name, const Shape& shape, DType dtype, double fresh = 0);
  Value& operator[](std::string_view name);  // throws ShapeError for a name it does not have
  const std::vector<Array>& arrays() const { return arrays_; }
  int64_t batch() const { return static_cast<int64_t>(positions.size()); }

  MixerState clone() const;
  MixerState select(std::span<const int64_t> rows) const;  // row i of the result is rows[i]: reorder, drop, repeat
  void reset_rows(std::span<const int64_t> rows);          // those rows as if they had seen nothing
  void detach();                                           // no gradient flows into what came before
  int64_t bytes() const;                                   // held by the arrays

  std::vector<int64_t> positions;  // [B]: tokens seen

 private:
  std::vector<Array> arrays_;
};

}  // namespace rebased
