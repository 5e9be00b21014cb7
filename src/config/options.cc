#include "config/options.h"

#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/suggest.h"
#include "config/limits.h"

namespace rebased {
namespace {

std::string opening(const std::string& where) { return where.empty() ? "" : where + ": "; }

std::string found_text(const Json& value) {
  if (value.is_object()) return "a table";
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_string()) return "'" + shortened(value.get<std::string>()) + "'";
  return json_text(value);
}

bool is_utf8(const Json& text) {
  try {
    text.dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

std::string bound_text(long double bound) {
  const bool whole = std::trunc(bound) == bound;
  if (whole && bound >= 0 && bound < 0x1p64L) return fmt::format("{}", static_cast<uint64_t>(bound));
  if (whole && bound < 0 && bound >= -0x1p63L) return fmt::format("{}", static_cast<int64_t>(bound));
  return fmt::format("{}", static_cast<double>(bound));
}

std::string range_text(const Range& range) {
  return fmt::format("{} to {}", bound_text(range.low), bound_text(range.high));
}

template <class T>
void check_range(const Range& range, T value, const std::string& where) {
  if (value >= range.low && value <= range.high) return;
  throw ConfigError("{}expected a number {}, found {}", opening(where), range_text(range), value);
}

}  // namespace

OneOf one_of(std::initializer_list<const char*> choices) { return {{choices.begin(), choices.end()}}; }

void OneOf::check(std::string_view value, const std::string& where) const {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  throw ConfigError("{}expected one of {}, found '{}'{}", opening(where), fmt::join(choices, ", "), shortened(value),
                    did_you_mean(value, choices));
}

Range between(long double low, long double high) { return {low, high}; }
Range positive_number() { return {kLeastNumber, kMostNumber}; }
Range number_from_zero() { return {0, kMostNumber}; }

void Range::check(int64_t value, const std::string& where) const { check_range(*this, value, where); }
void Range::check(uint64_t value, const std::string& where) const { check_range(*this, value, where); }
void Range::check(double value, const std::string& where) const { check_range(*this, value, where); }

void Range::describe(OptionHelp& row) const { row.range = range_text(*this); }

namespace option_detail {

std::string join(std::string_view where, std::string_view key) {
  if (where.empty()) return std::string(key);
  const bool has_path = where.find(": ") != std::string_view::npos;
  return fmt::format("{}{}{}", where, has_path ? "." : ": ", key);
}

void refuse(const Json& found, std::string_view expected, const std::string& where) {
  throw ConfigError("{}expected {}, found {}", opening(where), expected, found_text(found));
}

void require_table(const Json& value, const std::string& where) {
  if (!value.is_object()) refuse(value, "a table", where);
}

void refuse_key(std::string_view key, const std::vector<std::string>& known, const std::string& where) {
  throw ConfigError("{}unknown key '{}'{}", opening(where), shortened(key), did_you_mean(key, known));
}

std::optional<int64_t> whole_number(const Json& value) {
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  if (!(number >= -0x1p63 && number < 0x1p63) || number != std::trunc(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

namespace {

template <class T>
std::optional<T> whole_text(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

Json written_number(std::string_view text) {
  if (const auto number = whole_text<int64_t>(text)) return *number;
  if (const auto number = whole_text<uint64_t>(text)) return *number;
  if (const auto number = whole_text<double>(text); number && std::isfinite(*number)) return *number;
  return std::string(text);
}

void read(const Json& value, bool& field, const std::string& where) {
  if (!value.is_boolean()) refuse(value, "true or false", where);
  field = value.get<bool>();
}

void read(const Json& value, double& field, const std::string& where) {
  if (!value.is_number()) refuse(value, "a number", where);
  const auto number = value.get<double>();
  if (!std::isfinite(number)) throw ConfigError("{}expected a finite number, found {}", opening(where), number);
  field = number;
}

void read(const Json& value, std::string& field, const std::string& where) {
  if (!value.is_string()) refuse(value, "a string", where);
  if (!is_utf8(value)) refuse(value, "UTF-8 text", where);
  field = value.get<std::string>();
}

}  // namespace option_detail
}  // namespace rebased
