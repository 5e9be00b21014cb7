#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "base/error.h"
#include "config/document.h"

namespace rebased {
namespace {

bool is_table_list(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& element) { return element.is_object(); });
}

// JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : Json(text).dump()) {
    if (c == '\x7f') {
      out += "\\u007f";
    } else {
      out += c;
    }
  }
  return out;
}

std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? key : quoted(key);
}

class TomlWriter {
 public:
  // Writes the plain values of `table`, then each of its tables under a [header].
  void write_table(const Json& table, const std::string& path) {
    for (const auto& [key, value] : table.items()) {
      if (value.is_null() || value.is_object() || is_table_list(value)) continue;
      out_ += key_text(key) + " = ";
      write_inline(value, path + key);
      out_ += "\n";
    }
    for (const auto& [key, value] : table.items()) {
      const std::string name = path + key_text(key);
      if (value.is_object()) write_section("[" + name + "]", value, name);
      if (!is_table_list(value)) continue;
      for (const Json& element : value) write_section("[[" + name + "]]", element, name);
    }
  }

  void write_inline(const Json& value, const std::string& path) {
    if (value.is_object()) {
      write_inline_table(value, path);
    } else if (value.is_array()) {
      write_list(value, path);
    } else if (value.is_string()) {
      out_ += quoted(value.get_ref<const std::string&>());
    } else {
      check_number(value, path);
      out_ += value.dump();
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void write_section(const std::string& header, const Json& table, const std::string& name) {
    if (!out_.empty()) out_ += "\n";
    out_ += header + "\n";
    write_table(table, name + ".");
  }

  void write_list(const Json& list, const std::string& path) {
    out_ += "[";
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i].is_null()) throw ConfigError("{}: TOML cannot hold a null inside a list", path);
      if (i > 0) out_ += ", ";
      write_inline(list[i], path);
    }
    out_ += "]";
  }

  void write_inline_table(const Json& table, const std::string& path) {
    out_ += "{";
    bool first = true;
    for (const auto& [key, value] : table.items()) {
      if (value.is_null()) continue;
      out_ += (first ? " " : ", ") + key_text(key) + " = ";
      write_inline(value, path + "." + key);
      first = false;
    }
    out_ += first ? "}" : " }";
  }

  static void check_number(const Json& value, const std::string& path) {
    if (value.is_number_unsigned() && value.get<uint64_t>() > std::numeric_limits<int64_t>::max()) {
      throw ConfigError("{}: TOML integers end at 2^63 - 1, found {}", path, value.get<uint64_t>());
    }
    if (value.is_number_float() && !std::isfinite(value.get<double>())) {
      throw ConfigError("{}: numbers must be finite, found {}", path, value.get<double>());
    }
  }

  std::string out_;
};

std::string written(const std::function<void(TomlWriter&)>& write) {
  TomlWriter writer;
  try {
    write(writer);
  } catch (const Json::type_error&) {
    throw ConfigError("TOML holds UTF-8 text only, and a string of the document is not");
  }
  return writer.take();
}

}  // namespace

std::string to_toml(const Json& document) {
  if (!document.is_object()) throw ConfigError("only a table can be written as TOML, found {}", document.type_name());
  return written([&](TomlWriter& writer) { writer.write_table(document, ""); });
}

std::string to_toml_value(const Json& value) {
  if (value.is_null()) throw ConfigError("TOML cannot hold a null");
  return written([&](TomlWriter& writer) { writer.write_inline(value, "value"); });
}

}  // namespace rebased
