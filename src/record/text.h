#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rebased {

// Terminal columns of UTF-8 text: one for each code point. A byte that is not UTF-8 counts as one.
int64_t text_width(std::string_view text);

// The text when it fits in `width` columns, else its beginning with "…" as the last column.
std::string fit_text(std::string_view text, int64_t width);

// A key of a file for people: "test accuracy" for "test_accuracy".
std::string readable(std::string key);

// For the content and the attributes of XML and HTML: markup is escaped; what XML cannot hold (control characters other
// than tab and newline, bytes that are not UTF-8) becomes U+FFFD.
std::string escape_xml(std::string_view text);

// Hours, minutes and seconds: "0:07", "12:05", "3:02:11", and "2d 03h" from a day on. "?" if negative or not finite.
std::string format_duration(double seconds);

// Four significant digits, trailing zeros kept ("0.5000"); from a thousand to a billion a whole number ("12346"). "nan"
// and "inf" as such.
std::string format_value(double value);

}  // namespace rebased
