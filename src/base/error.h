#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

#include "base/printable.h"

namespace rebased {

// What ends a request. Every message is one sentence that names the field, file or tensor, what was found and what was
// expected; control characters in it are spelled out. The command maps UsageError and ConfigError to exit code 2, the
// others to 1.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(printable(message)) {}
};

#define REBASED_ERROR(Name)                                                                      \
  class Name : public Error {                                                                    \
   public:                                                                                       \
    explicit Name(const std::string& message) : Error(message) {}                                \
    template <class First, class... Rest>                                                        \
    Name(fmt::format_string<First, Rest...> format, First&& first, Rest&&... rest)               \
        : Error(fmt::format(format, std::forward<First>(first), std::forward<Rest>(rest)...)) {} \
  }

REBASED_ERROR(UsageError);   // the command line
REBASED_ERROR(ConfigError);  // recipes, config.json, options that contradict each other
REBASED_ERROR(ShapeError);   // values whose shapes or dtypes do not fit
REBASED_ERROR(FormatError);  // the bytes of a file
REBASED_ERROR(IoError);      // the operating system
REBASED_ERROR(DeviceError);  // a device or a missing kernel

#undef REBASED_ERROR

}  // namespace rebased
