#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/layout.h"
#include "base/shape.h"

namespace rebased {

// What a model reads and what it is asked, of some rows; in host memory. Made by a source of data, taken apart by the
// input and the head of a model.
struct Batch {
  // An input by its name: ids or numbers, dimension 0 the row.
  struct Input {
    Shape shape;
    std::vector<int64_t> ids{};
    std::vector<float> numbers{};
  };

  int64_t rows = 0;
  std::map<std::string, Input> inputs{};  // "tokens" [B, T] ids, "features" [B, T, F] numbers
  std::optional<Layout> layout{};         // none: every row one document
  std::vector<int64_t> targets{};         // as many of each row; negative where nothing is asked

  static Batch of_tokens(int64_t rows, int64_t tokens, std::vector<int64_t> ids, std::vector<int64_t> targets = {});

  const Input& input(const std::string& name) const;  // throws ShapeError for one that is not there
  Batch slice(int64_t begin, int64_t count) const;    // those rows
  int64_t asked() const;                              // targets that are not negative
  int64_t tokens() const;                             // T; 0 without inputs
};

}  // namespace rebased
