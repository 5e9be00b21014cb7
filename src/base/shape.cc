#include "base/shape.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "base/error.h"

namespace rebased {

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  if (dims.size() > kMaxRank)
    throw ShapeError("a shape has at most {} dimensions, found {}", int{kMaxRank}, dims.size());
  rank_ = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (int64_t extent : *this) n *= extent;
  return n;
}

Shape Shape::with(int dim, int64_t extent) const {
  Shape copy = *this;
  copy[dim] = extent;
  return copy;
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

bool Shape::operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

namespace {

// Takes the next blank-separated word off `pattern`; empty at the end.
std::string_view next_word(std::string_view& pattern) {
  pattern.remove_prefix(std::min(pattern.find_first_not_of(' '), pattern.size()));
  std::string_view word = pattern.substr(0, pattern.find(' '));
  pattern.remove_prefix(word.size());
  return word;
}

}  // namespace

const Dims::Entry* Dims::find(std::string_view symbol) const {
  for (int i = 0; i < count_; ++i) {
    if (entries_[i].symbol == symbol) return &entries_[i];
  }
  return nullptr;
}

Dims& Dims::check(const char* name, const Shape& shape, const char* pattern) {
  std::string_view rest = pattern;
  int dim = 0;
  for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest), ++dim) {
    if (dim >= shape.rank()) fail(name, shape, pattern);
    if (std::isdigit(static_cast<unsigned char>(word[0]))) {
      if (shape[dim] != std::stoll(std::string(word))) fail(name, shape, pattern);
    } else if (const Entry* known = find(word)) {
      if (shape[dim] != known->extent) fail(name, shape, pattern);
    } else {
      if (count_ == static_cast<int>(entries_.size())) throw ShapeError("[{}] too many symbolic dimensions", op_);
      entries_[count_++] = {std::string(word), shape[dim]};
    }
  }
  if (dim != shape.rank()) fail(name, shape, pattern);
  return *this;
}

int64_t Dims::operator[](std::string_view symbol) const {
  const Entry* entry = find(symbol);
  if (entry == nullptr) throw ShapeError("[{}] dimension {} was never bound", op_, symbol);
  return entry->extent;
}

void Dims::fail(const char* name, const Shape& shape, const char* pattern) const {
  std::string known;
  for (int i = 0; i < count_; ++i)
    known += fmt::format("{}{}={}", i == 0 ? " with " : " ", entries_[i].symbol, entries_[i].extent);
  throw ShapeError("[{}] {}: expected [{}]{}, found {}", op_, name, pattern, known, shape.str());
}

}  // namespace rebased
