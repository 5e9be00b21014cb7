#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/printable.h"

namespace rebased {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

spdlog::logger& logger() {
  // Never destroyed: threads that outlive main may still log.
  static spdlog::logger& instance = *[] {
    const char* no_color = std::getenv("NO_COLOR");
    const bool plain = no_color != nullptr && *no_color != '\0';
    const auto mode = plain ? spdlog::color_mode::never : spdlog::color_mode::automatic;
    auto* made = new spdlog::logger("rebased", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(mode));
    made->set_pattern("%^%l%$: %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return instance;
}

}  // namespace

void set_log_level(LogLevel least) { logger().set_level(spdlog_level(least)); }

bool log_enabled(LogLevel level) { return level != LogLevel::kOff && logger().should_log(spdlog_level(level)); }

void log_line(LogLevel level, std::string_view message) { logger().log(spdlog_level(level), printable(message)); }

}  // namespace rebased
