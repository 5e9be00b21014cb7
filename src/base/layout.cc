#include "base/layout.h"

#include <algorithm>

#include "base/error.h"

namespace rebased {
namespace {

void check(const Layout::Document& d, const Layout::Document* before, int64_t rows, int64_t tokens) {
  const bool follows = before != nullptr && before->row == d.row;
  if (d.row < 0 || d.row >= rows || d.begin < 0 || d.length < 1 || d.begin > tokens - d.length) {
    throw ShapeError("layout: a document of tokens {} to {} of row {} lies outside of {} rows of {} tokens", d.begin,
                     d.begin + d.length, d.row, rows, tokens);
  }
  if (before != nullptr && (before->row > d.row || (follows && before->begin + before->length > d.begin))) {
    throw ShapeError("layout: documents must ascend and not overlap; token {} of row {} follows token {} of row {}",
                     d.begin, d.row, before->begin + before->length - 1, before->row);
  }
  if (follows && d.continues)
    throw ShapeError("layout: only the first document of row {} can continue its state, found one at token {}", d.row,
                     d.begin);
  if (d.prefix < 0 || d.prefix > d.length) {
    throw ShapeError("layout: the prefix of a document of {} tokens in row {} is {} tokens long", d.length, d.row,
                     d.prefix);
  }
}

}  // namespace

Layout::Layout(int64_t rows, int64_t tokens, std::vector<Document> documents)
    : rows_(rows), tokens_(tokens), documents_(std::move(documents)) {
  for (size_t i = 0; i < documents_.size(); ++i)
    check(documents_[i], i > 0 ? &documents_[i - 1] : nullptr, rows, tokens);
}

Layout Layout::whole(int64_t rows, int64_t tokens) {
  std::vector<Document> documents;
  for (int64_t row = 0; row < rows; ++row) documents.push_back({.row = row, .begin = 0, .length = tokens});
  return {rows, tokens, std::move(documents)};
}

Layout Layout::of_lengths(std::span<const int64_t> lengths, int64_t tokens, Side padding) {
  std::vector<Document> documents;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    if (lengths[i] < 0 || lengths[i] > tokens)
      throw ShapeError("layout: row {} of {} tokens cannot hold {}", row, tokens, lengths[i]);
    const int64_t begin = padding == Side::kFront ? tokens - lengths[i] : 0;
    if (lengths[i] > 0) documents.push_back({.row = row, .begin = begin, .length = lengths[i]});
  }
  return {static_cast<int64_t>(lengths.size()), tokens, std::move(documents)};
}

Layout Layout::packed(std::span<const std::vector<int64_t>> starts, int64_t tokens) {
  std::vector<Document> documents;
  for (size_t i = 0; i < starts.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    std::vector<int64_t> bounds = starts[i];
    bounds.push_back(tokens);
    if (bounds.front() > 0) documents.push_back({.row = row, .begin = 0, .length = bounds.front()});
    for (size_t d = 0; d + 1 < bounds.size(); ++d) {
      documents.push_back({.row = row, .begin = bounds[d], .length = bounds[d + 1] - bounds[d], .continues = false});
    }
  }
  return {static_cast<int64_t>(starts.size()), tokens, std::move(documents)};
}

Layout Layout::with_prefixes(std::span<const int64_t> prefixes) const {
  if (prefixes.size() != documents_.size()) {
    throw ShapeError("layout: expected a prefix for each of {} documents, found {}", documents_.size(),
                     prefixes.size());
  }
  std::vector<Document> documents = documents_;
  for (size_t i = 0; i < documents.size(); ++i) documents[i].prefix = prefixes[i];
  return {rows_, tokens_, std::move(documents)};
}

Layout Layout::without_prefixes() const { return with_prefixes(std::vector<int64_t>(documents_.size(), 0)); }

bool Layout::has_prefix() const {
  return std::any_of(documents_.begin(), documents_.end(), [](const Document& d) { return d.prefix > 0; });
}

bool Layout::is_whole() const {
  return static_cast<int64_t>(documents_.size()) == rows_ &&
         std::all_of(documents_.begin(), documents_.end(),
                     [this](const Document& d) { return d.length == tokens_ && d.continues; });
}

std::vector<int64_t> Layout::positions(std::span<const int64_t> before) const {
  std::vector<int64_t> positions(static_cast<size_t>(rows_ * tokens_), -1);
  for (const Document& d : documents_) {
    const int64_t first = d.continues && !before.empty() ? before[static_cast<size_t>(d.row)] : 0;
    for (int64_t i = 0; i < d.length; ++i) positions[static_cast<size_t>(d.row * tokens_ + d.begin + i)] = first + i;
  }
  return positions;
}

std::vector<int64_t> Layout::after(std::span<const int64_t> before) const {
  std::vector<int64_t> after(before.begin(), before.end());
  for (const Document& d : documents_) {
    const auto row = static_cast<size_t>(d.row);
    after[row] = d.length + (d.continues ? after[row] : 0);
  }
  return after;
}

}  // namespace rebased
