#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rebased {

// Extents of a dense row-major array, outermost first. At most kMaxRank dimensions; no dimensions is a scalar.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i < 0 ? rank_ + i : i]; }  // negative counts from the end
  int64_t& operator[](int i) { return dims_[i < 0 ? rank_ + i : i]; }
  int64_t numel() const;
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }

  Shape with(int dim, int64_t extent) const;  // a copy with one extent replaced
  std::string str() const;                    // "[2, 17, 32]"
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// Binds symbolic dimension names (docs/notation.md) to extents and refuses what contradicts them:
//   Dims d("quadratic_attention");
//   d.check("q", q.shape(), "B T H Dk").check("v", v.shape(), "B T H Dv");
//   d["Dv"]
// Throws ShapeError "[quadratic_attention] v: expected [B T H Dv] with B=2 T=17 H=2, found [2, 16, 2, 64]"; where every
// symbol is known, "expected [B T C] = [2, 17, 32], found ...".
// A number in a pattern is a fixed extent; "..." at its beginning stands for any leading dimensions, which d["..."]
// counts the elements of. Names and patterns are string literals.
class Dims {
 public:
  explicit Dims(const char* op) : op_(op) {}
  Dims& check(const char* name, const Shape& shape, const char* pattern);
  Dims& set(const char* symbol, int64_t extent);  // one that follows from others, such as "K-1"
  int64_t operator[](std::string_view symbol) const;
  Shape shape(const char* pattern) const;  // of bound symbols

 private:
  struct Entry {
    std::string_view symbol;
    int64_t extent;
  };
  const Entry* find(std::string_view symbol) const;
  std::optional<int64_t> extent_of(std::string_view word) const;  // of a bound symbol, or a number
  Dims& bind(std::string_view symbol, int64_t extent);
  bool knows(std::string_view pattern) const;
  [[noreturn]] void fail(const char* name, const Shape& found, const char* pattern) const;

  const char* op_;
  std::array<Entry, 16> entries_;
  int count_ = 0;
  std::optional<Shape> leading_;
};

}  // namespace rebased
