#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/printable.h"
#include "config/document.h"

namespace rebased {
namespace {

std::vector<std::string> split_path(std::string_view path, std::string_view assignment) {
  std::vector<std::string> keys(1);
  for (const char c : path) {
    if (c == '.') {
      keys.emplace_back();
    } else {
      keys.back() += c;
    }
  }
  const bool has_empty = std::any_of(keys.begin(), keys.end(), [](const std::string& key) { return key.empty(); });
  if (has_empty) throw ConfigError("--set {}: expected KEY.KEY=VALUE without empty keys", assignment);
  if (keys.size() > kMaxDocumentDepth) throw ConfigError("--set: nested deeper than {} levels", int{kMaxDocumentDepth});
  return keys;
}

Json& element_of(Json& list, const std::string& key, std::string_view assignment) {
  size_t index = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  if (error != std::errc() || end != key.data() + key.size() || index >= list.size()) {
    throw ConfigError("--set {}: expected an element of a list of {} counted from 0, found '{}'", assignment,
                      list.size(), key);
  }
  return list[index];
}

}  // namespace

Json parse_typed_value(std::string_view text, std::string_view where, std::string_view field) {
  const bool bracketed = !text.empty() && std::string_view("[{\"'").find(text.front()) != std::string_view::npos;
  try {
    return parse_toml_value(text, where, field);
  } catch (const ConfigError&) {
    if (bracketed) throw;
  }
  return std::string(text);
}

void apply_set(Json& document, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) throw ConfigError("--set {}: expected KEY=VALUE", assignment);
  const std::string_view key_path = assignment.substr(0, equals);
  Json value =
      parse_typed_value(assignment.substr(equals + 1), fmt::format("--set {}", shortened(assignment)), key_path);
  Json changed = document;  // so that a refused path changes nothing
  Json* node = &changed;
  std::string path;
  for (const std::string& key : split_path(key_path, assignment)) {
    if (node->is_null()) *node = Json::object();
    if (node->is_array()) {
      node = &element_of(*node, key, assignment);
    } else if (node->is_object()) {
      node = &(*node)[key];
    } else {
      throw ConfigError("--set {}: '{}' is neither a table nor a list", assignment, path);
    }
    path += (path.empty() ? "" : ".") + key;
  }
  *node = std::move(value);
  document = std::move(changed);
}

}  // namespace rebased
