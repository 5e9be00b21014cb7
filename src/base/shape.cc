#include "base/shape.h"

#include <algorithm>
#include <charconv>
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

// Every operation of a pass looks at some twenty words of a letter or two: loops without calls.

// Takes the next blank-separated word off `pattern`; empty at the end.
std::string_view next_word(std::string_view& pattern) {
  const char *at = pattern.data(), *const end = at + pattern.size();
  while (at != end && *at == ' ') ++at;
  const char* const begin = at;
  while (at != end && *at != ' ') ++at;
  pattern = {at, static_cast<size_t>(end - at)};
  return {begin, static_cast<size_t>(at - begin)};
}

bool same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

constexpr std::string_view kLeading = "...";

int count_words(std::string_view pattern) {
  int count = 0;
  while (!next_word(pattern).empty()) ++count;
  return count;
}

// A word that is digits alone: "2C" is a name.
std::optional<int64_t> number(std::string_view word) {
  if (word[0] < '0' || word[0] > '9') return {};
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return {};
  return value;
}

}  // namespace

const Dims::Entry* Dims::find(std::string_view symbol) const {
  for (int i = 0; i < count_; ++i) {
    if (same(entries_[i].symbol, symbol)) return &entries_[i];
  }
  return nullptr;
}

std::optional<int64_t> Dims::extent_of(std::string_view word) const {
  if (const Entry* entry = find(word)) return entry->extent;
  return number(word);
}

Dims& Dims::bind(std::string_view symbol, int64_t extent) {
  if (count_ == static_cast<int>(entries_.size())) throw ShapeError("[{}] too many symbolic dimensions", op_);
  entries_[count_++] = {symbol, extent};
  return *this;
}

Dims& Dims::set(const char* symbol, int64_t extent) { return bind(symbol, extent); }

Dims& Dims::check(const char* name, const Shape& shape, const char* pattern) {
  std::string_view rest = pattern;
  int dim = 0;
  if (rest.starts_with(kLeading)) {
    rest.remove_prefix(kLeading.size());
    dim = shape.rank() - count_words(rest);
    if (dim < 0) fail(name, shape, pattern);
    const Shape leading(std::span<const int64_t>(shape.begin(), static_cast<size_t>(dim)));
    if (leading_ && *leading_ != leading) fail(name, shape, pattern);
    leading_ = leading;
  }
  for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest), ++dim) {
    if (dim >= shape.rank()) fail(name, shape, pattern);
    if (const std::optional<int64_t> known = extent_of(word)) {
      if (shape[dim] != *known) fail(name, shape, pattern);
    } else {
      bind(word, shape[dim]);
    }
  }
  if (dim != shape.rank()) fail(name, shape, pattern);
  return *this;
}

int64_t Dims::operator[](std::string_view symbol) const {
  if (same(symbol, kLeading) && leading_) return leading_->numel();
  const Entry* entry = find(symbol);
  if (entry == nullptr) throw ShapeError("[{}] dimension {} was never bound", op_, symbol);
  return entry->extent;
}

Shape Dims::shape(const char* pattern) const {
  std::string_view rest = pattern;
  std::array<int64_t, Shape::kMaxRank> extents{};
  size_t rank = 0;
  if (rest.starts_with(kLeading)) {
    rest.remove_prefix(kLeading.size());
    rank = static_cast<size_t>(std::copy(leading_->begin(), leading_->end(), extents.begin()) - extents.begin());
  }
  for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
    const std::optional<int64_t> known = extent_of(word);
    extents.at(rank++) = known ? *known : (*this)[word];
  }
  return Shape(std::span<const int64_t>(extents.data(), rank));
}

bool Dims::knows(std::string_view pattern) const {
  if (pattern.starts_with(kLeading)) {
    if (!leading_) return false;
    pattern.remove_prefix(kLeading.size());
  }
  for (std::string_view word = next_word(pattern); !word.empty(); word = next_word(pattern)) {
    if (!extent_of(word)) return false;
  }
  return true;
}

void Dims::fail(const char* name, const Shape& found, const char* pattern) const {
  if (knows(pattern)) {
    throw ShapeError("[{}] {}: expected [{}] = {}, found {}", op_, name, pattern, shape(pattern).str(), found.str());
  }
  std::string known;
  for (int i = 0; i < count_; ++i)
    known += fmt::format("{}{}={}", i == 0 ? " with " : " ", entries_[i].symbol, entries_[i].extent);
  throw ShapeError("[{}] {}: expected [{}]{}, found {}", op_, name, pattern, known, found.str());
}

}  // namespace rebased
