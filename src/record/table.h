#pragma once

#include <string>
#include <vector>

namespace rebased {

enum class Align { kLeft, kRight };

// A table of text cells: aligned columns for a terminal, or Markdown.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Throws ShapeError unless there is one cell for each column.
  Table& add_row(std::vector<std::string> cells);

  // Title row, rule, rows; columns two spaces apart, nothing behind the last column; ends in a newline.
  std::string text() const;
  // GitHub's form, with the alignment in the rule; "|" in cells is escaped.
  std::string markdown() const;

  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace rebased
