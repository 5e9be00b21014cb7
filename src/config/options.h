#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rebased {

using Json = nlohmann::ordered_json;  // key order kept

// A document as JSON text on one line, or indented: of results and messages. The bytes of file names and of words that
// a user typed may be anything: U+FFFD stands for what is not UTF-8. What is read back by such a name takes
// Json::dump(), which throws for it.
template <class Document>
std::string json_text(const Document& document, int indent = -1) {
  return document.dump(indent, ' ', false, Document::error_handler_t::replace);
}

// Typed options: a struct of defaults whose one `visit` names every field.
//   struct ConvOptions {
//     int64_t width = 4;
//     std::string padding = "causal";
//     template <class V>
//     void visit(V& v) {
//       v("width", width, "taps of the filter", between(1, 64));
//       v("padding", padding, "what stands before the first token", one_of({"causal", "none"}));
//     }
//   };
// Fields: bool, integers, double, std::string, Json (passed through), another such struct, and std::optional or
// std::vector of these. An optional that is absent is null in JSON and a missing key in TOML. A number without a Range
// does not compile: what the program can hold has two ends (config/limits.h).

// One row of --help and of the documentation. Elements of a list of structs are named "list.*.field".
struct OptionHelp {
  std::string name;  // dotted
  std::string type;  // "integer", "number", "boolean", "string", "table", "any", "list of integer", ...
  std::string default_text;
  std::string help;
  std::vector<std::string> choices;  // allowed strings; empty when free
  std::string range;                 // allowed numbers; empty when free
};

// A rule restricts a field of its type, the value of an optional one, or every element of a list.
struct OneOf {
  std::vector<std::string> choices;
  void check(std::string_view value, const std::string& where) const;
  void describe(OptionHelp& row) const { row.choices = choices; }
};
OneOf one_of(std::initializer_list<const char*> choices);

// long double, which holds every int64_t, uint64_t and double.
struct Range {
  long double low;
  long double high;
  void check(int64_t value, const std::string& where) const;
  void check(uint64_t value, const std::string& where) const;
  void check(double value, const std::string& where) const;
  void describe(OptionHelp& row) const;
};
static_assert(std::numeric_limits<long double>::digits >= 64);
Range between(long double low, long double high);  // both ends allowed
Range positive_number();                           // that float32 holds
Range number_from_zero();                          // 0 or such a number
template <class T>
Range any_value() {  // all that the type holds
  return {std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max()};
}

namespace option_detail {

struct AnyVisitor {
  template <class... Args>
  void operator()(Args&&...) {}
};
template <class T>
concept Options = requires(T options, AnyVisitor visitor) {
  options.visit(visitor);
};

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

template <class T>
inline constexpr bool kIsNumber = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;
template <class T>
inline constexpr bool kIsNumber<std::optional<T>> = kIsNumber<T>;
template <class T>
inline constexpr bool kIsNumber<std::vector<T>> = kIsNumber<T>;
template <class T, class... Rules>
concept HasBounds = !kIsNumber<T> || (std::is_same_v<Rules, Range> || ...);

// "recipe.toml" + "model" -> "recipe.toml: model"; "recipe.toml: model" + "norm" -> "recipe.toml: model.norm".
std::string join(std::string_view where, std::string_view key);
[[noreturn]] void refuse(const Json& found, std::string_view expected, const std::string& where);
void require_table(const Json& value, const std::string& where);
[[noreturn]] void refuse_key(std::string_view key, const std::vector<std::string>& known, const std::string& where);
std::optional<int64_t> whole_number(const Json& value);  // of a floating-point value such as 12.0
Json written_number(std::string_view text);              // a number, or the text itself where it is none

void read(const Json& value, bool& field, const std::string& where);
void read(const Json& value, double& field, const std::string& where);       // finite
void read(const Json& value, std::string& field, const std::string& where);  // UTF-8
inline void read(const Json& value, Json& field, const std::string&) { field = value; }

template <std::integral T>
void read(const Json& value, T& field, const std::string& where) {
  if (value.is_number_unsigned() && std::in_range<T>(value.get<uint64_t>())) {
    field = static_cast<T>(value.get<uint64_t>());
  } else if (value.is_number_integer() && !value.is_number_unsigned() && std::in_range<T>(value.get<int64_t>())) {
    field = static_cast<T>(value.get<int64_t>());
  } else if (const auto whole = whole_number(value); whole && std::in_range<T>(*whole)) {
    field = static_cast<T>(*whole);
  } else {
    refuse(value, std::is_signed_v<T> ? "an integer" : "an integer that is not negative", where);
  }
}

template <class T, class Rule>
void check_rule(const Rule& rule, const T& value, const std::string& where) {
  if constexpr (kIsOptional<T>) {
    if (value) check_rule(rule, *value, where);
  } else if constexpr (kIsVector<T>) {
    for (size_t i = 0; i < value.size(); ++i) check_rule(rule, value[i], join(where, std::to_string(i)));
  } else if constexpr (std::signed_integral<T>) {
    rule.check(int64_t{value}, where);
  } else if constexpr (std::unsigned_integral<T>) {
    rule.check(uint64_t{value}, where);
  } else {
    rule.check(value, where);
  }
}

template <Options T>
void read(const Json& value, T& field, const std::string& where);
template <class T>
void read(const Json& value, std::optional<T>& field, const std::string& where);

template <class T>
void read(const Json& value, std::vector<T>& field, const std::string& where) {
  if (!value.is_array()) refuse(value, "a list", where);
  field.clear();
  for (const Json& item : value) {
    T element{};
    read(item, element, join(where, std::to_string(field.size())));
    field.push_back(std::move(element));
  }
}

template <class T>
void read(const Json& value, std::optional<T>& field, const std::string& where) {
  field.reset();
  if (!value.is_null()) read(value, field.emplace(), where);
}

class Reader {
 public:
  Reader(const Json& table, const std::string& where) : table_(table), where_(where) { require_table(table, where); }

  template <class T, class... Rules>
  requires HasBounds<T, Rules...>
  void operator()(const char* name, T& field, const char*, const Rules&... rules) {
    known_.emplace_back(name);
    const auto found = table_.find(name);
    if (found == table_.end()) return;
    const std::string path = join(where_, name);
    read(*found, field, path);
    (check_rule(rules, field, path), ...);
  }

  void refuse_unknown_keys() const {
    for (const auto& [key, value] : table_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) refuse_key(key, known_, where_);
    }
  }

 private:
  const Json& table_;
  const std::string& where_;
  std::vector<std::string> known_;
};

template <Options T>
void read(const Json& value, T& field, const std::string& where) {
  Reader reader(value, where);
  field.visit(reader);
  reader.refuse_unknown_keys();
}

template <class T>
Json write(const T& field);

struct Writer {
  Json table = Json::object();
  template <class T, class... Rules>
  requires HasBounds<T, Rules...>
  void operator()(const char* name, T& field, const char*, const Rules&...) { table[name] = write(field); }
};

template <class T>
Json write(const T& field) {
  if constexpr (Options<T>) {
    Writer writer;
    T copy = field;  // visit takes fields by reference and is not const
    copy.visit(writer);
    return std::move(writer.table);
  } else if constexpr (kIsOptional<T>) {
    return field ? write(*field) : Json(nullptr);
  } else if constexpr (kIsVector<T>) {
    Json list = Json::array();
    for (const typename T::value_type& element : field) list.push_back(write(element));
    return list;
  } else {
    return Json(field);
  }
}

template <class T>
std::string type_name() {
  if constexpr (Options<T>) {
    return "table";
  } else if constexpr (kIsOptional<T>) {
    return type_name<typename T::value_type>();
  } else if constexpr (kIsVector<T>) {
    return "list of " + type_name<typename T::value_type>();
  } else if constexpr (std::is_same_v<T, bool>) {
    return "boolean";
  } else if constexpr (std::is_integral_v<T>) {
    return "integer";
  } else if constexpr (std::is_same_v<T, double>) {
    return "number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "string";
  } else {
    static_assert(std::is_same_v<T, Json>, "a field of this type cannot be an option");
    return "any";
  }
}

struct Helper {
  std::vector<OptionHelp>& rows;
  std::string prefix;

  template <class T, class... Rules>
  requires HasBounds<T, Rules...>
  void operator()(const char* name, T& field, const char* help, const Rules&... rules) {
    if constexpr (Options<T>) {
      Helper nested{rows, prefix + name + "."};
      field.visit(nested);
    } else {
      const Json value = write(field);
      OptionHelp row{prefix + name, type_name<T>(), value.is_null() ? "unset" : json_text(value), help, {}, {}};
      (rules.describe(row), ...);
      rows.push_back(std::move(row));
      describe_element<T>(name);
    }
  }

  template <class T>
  void describe_element(const std::string& name) {
    if constexpr (kIsOptional<T> || kIsVector<T>) {
      using Element = typename T::value_type;
      const std::string element = kIsVector<T> ? name + ".*" : name;
      if constexpr (Options<Element>) {
        Element defaults{};
        Helper nested{rows, prefix + element + "."};
        defaults.visit(nested);
      } else {
        describe_element<Element>(element);
      }
    }
  }
};

}  // namespace option_detail

// The number that `text` says, by the rules of a field: of a flag that `where` names. Throws ConfigError.
template <class T>
T number_from_text(std::string_view text, std::string_view where, const Range& range) {
  T number{};
  option_detail::read(option_detail::written_number(text), number, std::string(where));
  option_detail::check_rule(range, number, std::string(where));
  return number;
}

// The options of a JSON object; what it leaves out keeps its default. `where` opens every message: a file name, or a
// file name and the dotted path of the object in it ("recipe.toml: model.mixer"). Throws ConfigError for unknown keys,
// wrong types and values outside a rule. 12.0 is an integer, 12.5 is not; numbers must be finite and fit their field.
template <class T>
T options_from_json(const Json& doc, std::string_view where) {
  T options{};
  option_detail::read(doc, options, std::string(where));
  return options;
}

// Every field, in the order of visit; options_from_json gives the same options back.
template <class T>
Json options_to_json(const T& options) {
  return option_detail::write(options);
}

template <class T>
std::vector<OptionHelp> options_help() {
  std::vector<OptionHelp> rows;
  T defaults{};
  option_detail::Helper helper{rows, ""};
  defaults.visit(helper);
  return rows;
}

}  // namespace rebased
