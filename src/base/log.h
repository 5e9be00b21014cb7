#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace rebased {

// Everything said to a person while the program works goes to stderr, one line a message, whatever the names in it
// hold; results go to stdout and
// never through here. Colours only when stderr is a terminal and NO_COLOR is unset or empty. Safe to call from any
// thread.
enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void set_log_level(LogLevel least);  // messages below `least` are dropped; kInfo at the start
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view message);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kDebug)) log_line(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kInfo)) log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kWarning)) log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::kError)) log_line(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace rebased
