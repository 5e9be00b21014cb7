#include "record/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rebased {
namespace {

// Bytes of the well-formed UTF-8 sequence at the front of `text` (RFC 3629), 0 when there is none. Text is not empty.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const unsigned second = byte(1);  // overlong forms, surrogates and code points above U+10FFFF
  const bool refused = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                       (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return refused ? 0 : length;
}

// Calls f(piece, well_formed) for every code point, and for every byte that belongs to none.
template <class F>
void for_each_code_point(std::string_view text, F&& f) {
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    f(text.substr(0, std::max<size_t>(length, 1)), length > 0);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
}

std::string_view escaped(std::string_view piece, bool well_formed) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  if (!well_formed) return kReplacement;
  switch (piece[0]) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    case '\t':
    case '\n':
      return piece;
    default:
      break;
  }
  const auto first = static_cast<unsigned char>(piece[0]);
  const bool control = first < 0x20 || first == 0x7f;
  const bool nonchar = piece == "\xef\xbf\xbe" || piece == "\xef\xbf\xbf";
  return control || nonchar ? kReplacement : piece;
}

}  // namespace

int64_t text_width(std::string_view text) {
  int64_t width = 0;
  for_each_code_point(text, [&](std::string_view, bool) { ++width; });
  return width;
}

std::string fit_text(std::string_view text, int64_t width) {
  if (text_width(text) <= width) return std::string(text);
  if (width <= 0) return "";
  std::string fitted;
  int64_t used = 0;
  for_each_code_point(text, [&](std::string_view piece, bool) {
    if (++used < width) fitted += piece;
  });
  return fitted + "…";
}

std::string readable(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

std::string escape_xml(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for_each_code_point(text, [&](std::string_view piece, bool well_formed) { result += escaped(piece, well_formed); });
  return result;
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  const auto total = static_cast<int64_t>(std::llround(seconds));
  const int64_t hours = total / 3600, minutes = total / 60 % 60;
  if (hours >= 24) return fmt::format("{}d {:02}h", hours / 24, hours % 24);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{}:{:02}", minutes, total % 60);
}

std::string format_value(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  if (value == 0) return "0";
  if (std::fabs(value) >= 999.95 && std::fabs(value) < 1e9) return fmt::format("{:.0f}", value);
  return fmt::format("{:#.4g}", value);
}

}  // namespace rebased
