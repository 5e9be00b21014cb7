#pragma once

#include <string>
#include <string_view>

#include "config/options.h"

namespace rebased {

// Tables and lists may lie at most this deep in each other, so that hostile text cannot exhaust the stack.
inline constexpr int kMaxDocumentDepth = 64;

// TOML 1.0 as JSON, tables in the order of the text. Dates become strings; nan and inf are refused. Throws ConfigError
// "file:line:column: ..." with the field or, for what is no TOML, the line.
Json parse_toml(std::string_view text, std::string_view file);

// One TOML value, of the field of that name. Throws ConfigError "WHERE: ...".
Json parse_toml_value(std::string_view text, std::string_view where, std::string_view field);

// A value as people type it: TOML ("4", "[1, 2]", "true", "'text'"); any other word is a string. Throws as
// parse_toml_value for what begins like a list, a table or a quoted string and is none.
Json parse_typed_value(std::string_view text, std::string_view where, std::string_view field);

// JSON without comments; a key that stands twice in one object is refused. Throws ConfigError that names `file`.
Json parse_json(std::string_view text, std::string_view file);

// TOML that parse_toml reads back as the same document, except that null values are left out and that in each table the
// plain values come before the tables. Throws ConfigError for what TOML cannot say: a null inside a list, an integer
// above 2^63 - 1, a number that is not finite, a string that is not UTF-8, or a document that is not a table.
std::string to_toml(const Json& document);

// One value on one line, as --set reads it. Throws as to_toml does.
std::string to_toml_value(const Json& value);

// Carries out `--set a.b=c`; c is a typed value. Missing tables are created; list elements are numbers
// ("layers.0.width"). Throws ConfigError when the path leads through a value that is neither table nor list, or beside
// the elements of a list.
void apply_set(Json& document, std::string_view assignment);

}  // namespace rebased
