#include "train_cli/grid.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/printable.h"
#include "config/document.h"

namespace rebased {
namespace {

std::string plain_word(std::string text) {
  for (char& c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!plain) c = '-';
  }
  return text;
}

// The words of a value in reading order; the type of a table is its name.
void add_words(const Json& value, std::vector<std::string>& words) {
  if (value.is_object()) {
    for (const auto& [key, element] : value.items()) {
      if (key != "type") words.push_back(plain_word(key));
      add_words(element, words);
    }
  } else if (value.is_array()) {
    for (const Json& element : value) add_words(element, words);
  } else {
    words.push_back(value.is_string() ? plain_word(value.get<std::string>()) : value.dump());
  }
}

// {type = "rebased", num_heads = 2} is "rebased-num_heads-2".
std::string label_of(const Json& value) {
  constexpr size_t kLongest = 48;
  std::vector<std::string> words;
  add_words(value, words);
  return fmt::format("{}", fmt::join(words, "-")).substr(0, kLongest);
}

std::vector<Json> values_of(const std::string& grid) {
  const size_t equals = grid.find('=');
  Json list;
  if (equals != std::string::npos) {
    list =
        parse_typed_value(grid.substr(equals + 1), fmt::format("--grid {}", shortened(grid)), grid.substr(0, equals));
  }
  if (!list.is_array() || list.empty()) throw UsageError("--grid {}: expected KEY=[VALUE, ...]", grid);
  std::vector<Json> values;
  for (const Json& value : list) {
    if (std::find(values.begin(), values.end(), value) != values.end()) {
      throw UsageError("--grid {}: {} is there twice", grid, to_toml_value(value));
    }
    values.push_back(value);
  }
  return values;
}

// Every value of a grid as a point of its own.
std::vector<GridPoint> points_of(const std::string& grid) {
  const std::string key = grid.substr(0, grid.find('='));
  const std::string name = plain_word(key.substr(key.rfind('.') + 1));
  std::map<std::string, int> seen;
  std::vector<GridPoint> points;
  for (const Json& value : values_of(grid)) {
    std::string label = label_of(value);
    if (const int alike = ++seen[label]; alike > 1) label += fmt::format("-{}", alike);
    points.push_back({{key + "=" + to_toml_value(value)}, fmt::format("-{}-{}", name, label)});
  }
  return points;
}

}  // namespace

std::vector<GridPoint> grid_points(const std::vector<std::string>& grids) {
  std::vector<GridPoint> points{GridPoint{}};
  for (const std::string& grid : grids) {
    const std::vector<GridPoint> values = points_of(grid);
    std::vector<GridPoint> crossed;
    for (const GridPoint& point : points) {
      for (const GridPoint& value : values) {
        crossed.push_back({point.assignments, point.suffix + value.suffix});
        crossed.back().assignments.push_back(value.assignments.front());
      }
    }
    points = std::move(crossed);
  }
  return points;
}

}  // namespace rebased
