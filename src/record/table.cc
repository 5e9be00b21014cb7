#include "record/table.h"

#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "record/text.h"

namespace rebased {
namespace {

std::string one_line(std::string_view cell) {
  std::string line;
  for (char c : cell) line += c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  return printable(line);
}

std::string markdown_cell(std::string_view cell) {
  std::string escaped;
  for (char c : one_line(cell)) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string padded(const std::string& cell, size_t width, Align align) {
  const size_t used = static_cast<size_t>(text_width(cell));
  const std::string blanks(width > used ? width - used : 0, ' ');
  return align == Align::kRight ? blanks + cell : cell + blanks;
}

// Titles first, then the rows, every cell passed through f.
template <class F>
std::vector<std::vector<std::string>> lines_of(const Table& table, F&& f) {
  std::vector<std::vector<std::string>> lines(1);
  for (const Table::Column& column : table.columns()) lines[0].push_back(f(column.title));
  for (const auto& row : table.rows()) {
    lines.emplace_back();
    for (const std::string& cell : row) lines.back().push_back(f(cell));
  }
  return lines;
}

std::vector<size_t> widths_of(const std::vector<std::vector<std::string>>& lines, size_t least) {
  std::vector<size_t> widths(lines[0].size(), least);
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], static_cast<size_t>(text_width(line[i])));
  }
  return widths;
}

}  // namespace

Table& Table::add_row(std::vector<std::string> cells) {
  if (cells.size() != columns_.size()) {
    throw ShapeError("a row of this table has {} cells, found {}", columns_.size(), cells.size());
  }
  rows_.push_back(std::move(cells));
  return *this;
}

std::string Table::text() const {
  const auto lines = lines_of(*this, one_line);
  const auto widths = widths_of(lines, 1);
  std::string result;
  const auto end_line = [&] {
    while (result.ends_with(' ')) result.pop_back();
    result += '\n';
  };
  for (size_t row = 0; row < lines.size(); ++row) {
    for (size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) result += "  ";
      result += padded(lines[row][i], widths[i], columns_[i].align);
    }
    end_line();
    if (row > 0) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) result += "  ";
      for (size_t n = 0; n < widths[i]; ++n) result += "─";
    }
    end_line();
  }
  return result;
}

std::string Table::markdown() const {
  const auto lines = lines_of(*this, markdown_cell);
  const auto widths = widths_of(lines, 3);
  std::string result;
  for (size_t row = 0; row < lines.size(); ++row) {
    for (size_t i = 0; i < widths.size(); ++i) {
      result += (i == 0 ? "| " : " | ") + padded(lines[row][i], widths[i], columns_[i].align);
    }
    result += " |\n";
    if (row > 0) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      const bool right = columns_[i].align == Align::kRight;
      result += (i == 0 ? "| " : " | ") + std::string(widths[i] - (right ? 1 : 0), '-') + (right ? ":" : "");
    }
    result += " |\n";
  }
  return result;
}

}  // namespace rebased
