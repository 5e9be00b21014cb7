#include "eval/pass_size.h"

#include <fmt/format.h>

namespace rebased {

void check_evaluation_pass(std::string_view what, int64_t rows, int64_t tokens, int64_t channels, int64_t state_bytes,
                           int64_t limit) {
  const double stream = static_cast<double>(tokens) * static_cast<double>(channels) * sizeof(float);
  check_memory(static_cast<double>(rows) * (stream + static_cast<double>(state_bytes)),
               fmt::format("{}: a pass of {} rows of {} tokens", what, rows, tokens), limit);
}

}  // namespace rebased
