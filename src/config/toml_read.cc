#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/document.h"

namespace rebased {
namespace {

// toml++ recurses into brackets, and builds and frees dotted keys by recursion; this reads just enough of the grammar
// to bound both before it is called.
class DepthScan {
 public:
  DepthScan(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  void run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') ++line_;
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '"' || c == '\'') {
        skip_string(c);
      } else {
        step(c);
        ++at_;
      }
    }
  }

 private:
  void step(char c) {
    if (c == '[' || c == '{') ++brackets_;
    if (c == ']' || c == '}') brackets_ = std::max(brackets_ - 1, 0);
    if (c == '.') {
      ++dots_;
    } else if (std::string_view("\n=,[]{}").find(c) != std::string_view::npos) {
      dots_ = 0;
    }
    if (brackets_ > kMaxDocumentDepth || dots_ > kMaxDocumentDepth) {
      throw ConfigError("{}:{}: nested deeper than {} levels", file_, line_, int{kMaxDocumentDepth});
    }
  }

  void skip_string(char quote) {
    const std::string triple(3, quote);
    const bool multiline = text_.substr(at_, 3) == triple;
    const std::string_view end = multiline ? std::string_view(triple) : std::string_view(triple).substr(0, 1);
    at_ += end.size();
    while (at_ < text_.size() && text_.substr(at_, end.size()) != end) {
      if (!multiline && text_[at_] == '\n') return;  // unterminated: the parser will say so
      line_ += text_[at_] == '\n';
      at_ += quote == '"' && text_[at_] == '\\' ? 2 : 1;
    }
    at_ = std::min(at_ + end.size(), text_.size());
    while (multiline && at_ < text_.size() && text_[at_] == quote) ++at_;  // up to two quotes may precede the end
  }

  std::string_view text_;
  std::string_view file_;
  size_t at_ = 0;
  int line_ = 1;
  int brackets_ = 0;
  int dots_ = 0;
};

class Converter {
 public:
  explicit Converter(std::string_view file) : file_(file) {}

  Json convert(const toml::node& node, int depth) const {
    if (depth > kMaxDocumentDepth) fail(node, fmt::format("nested deeper than {} levels", int{kMaxDocumentDepth}));
    switch (node.type()) {
      case toml::node_type::table:
        return convert_table(*node.as_table(), depth);
      case toml::node_type::array: {
        Json list = Json::array();
        for (const toml::node& element : *node.as_array()) list.push_back(convert(element, depth + 1));
        return list;
      }
      case toml::node_type::string:
        return node.as_string()->get();
      case toml::node_type::integer:
        return node.as_integer()->get();
      case toml::node_type::boolean:
        return node.as_boolean()->get();
      case toml::node_type::floating_point: {
        const double number = node.as_floating_point()->get();
        if (!std::isfinite(number)) fail(node, "numbers must be finite");
        return number;
      }
      case toml::node_type::date:
        return streamed(node.as_date()->get());
      case toml::node_type::time:
        return streamed(node.as_time()->get());
      case toml::node_type::date_time:
        return streamed(node.as_date_time()->get());
      default:
        fail(node, "a value of an unknown type");
    }
  }

 private:
  // toml++ sorts the keys of a table; their places in the text give the order back.
  Json convert_table(const toml::table& table, int depth) const {
    std::vector<std::pair<const toml::key*, const toml::node*>> entries;
    for (auto&& [key, node] : table) entries.emplace_back(&key, &node);
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto& a, const auto& b) { return a.first->source().begin < b.first->source().begin; });
    Json object = Json::object();
    for (const auto& [key, node] : entries) object[std::string(key->str())] = convert(*node, depth + 1);
    return object;
  }

  template <class Date>
  static std::string streamed(const Date& date) {
    std::ostringstream text;
    text << date;
    return text.str();
  }

  [[noreturn]] void fail(const toml::node& node, std::string_view problem) const {
    const auto& begin = node.source().begin;
    throw ConfigError("{}:{}:{}: {}", file_, begin.line, begin.column, problem);
  }

  std::string_view file_;
};

}  // namespace

Json parse_toml(std::string_view text, std::string_view file) {
  DepthScan(text, file).run();
  try {
    return Converter(file).convert(toml::parse(text), 0);
  } catch (const toml::parse_error& error) {
    const auto& begin = error.source().begin;
    throw ConfigError("{}:{}:{}: {}", file, begin.line, begin.column, error.description());
  }
}

Json read_toml_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file.is_open() && file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (!file.is_open() || file.bad() || text.fail()) throw IoError("{}: cannot be read", path);
  return parse_toml(text.str(), path);
}

}  // namespace rebased
