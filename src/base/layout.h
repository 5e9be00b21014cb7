#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rebased {

// Which tokens of a pass [B, T] belong together: each row holds documents that do not see each other, in order, with
// padding wherever there is none. Positions, masks and resets of states follow from it. In host memory, made once a
// pass.
class Layout {
 public:
  struct Document {
    int64_t row = 0, begin = 0, length = 0;  // tokens [begin, begin + length) of the row
    bool continues = true;  // what the row's state has read, where there is a state; only a row's first document may
    int64_t prefix = 0;     // its first tokens that all see each other (prefix language models)
  };

  // Documents by row, ascending in each. Throws ShapeError for what overlaps, is empty or lies outside.
  Layout(int64_t rows, int64_t tokens, std::vector<Document> documents);

  // Every row one document from its first token to its last.
  static Layout whole(int64_t rows, int64_t tokens);
  // One document a row, of lengths[row] tokens, padded behind it or in front of it.
  enum class Side : uint8_t { kFront, kBehind };
  static Layout of_lengths(std::span<const int64_t> lengths, int64_t tokens, Side padding);
  // No padding; starts[row] are the tokens where documents begin. Tokens before the first one continue the state.
  static Layout packed(std::span<const std::vector<int64_t>> starts, int64_t tokens);
  // A copy with the prefixes of the documents in order.
  Layout with_prefixes(std::span<const int64_t> prefixes) const;
  Layout without_prefixes() const;

  int64_t rows() const { return rows_; }
  int64_t tokens() const { return tokens_; }
  const std::vector<Document>& documents() const { return documents_; }
  bool has_prefix() const;
  bool is_whole() const;  // as whole(rows, tokens), prefixes aside

  // Of every token [B, T] its place in its document, -1 for padding. before: tokens that each row's state has read;
  // empty: none.
  std::vector<int64_t> positions(std::span<const int64_t> before = {}) const;
  // Tokens that each row's state has read behind the pass: those of its last document.
  std::vector<int64_t> after(std::span<const int64_t> before) const;

 private:
  int64_t rows_, tokens_;
  std::vector<Document> documents_;
};

}  // namespace rebased
