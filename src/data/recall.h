#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/draws.h"

// What the recall tasks (mqar.h, recall_tasks.h) share.
namespace rebased {

// Keys in [1, vocab_size / 2) and values in [vocab_size / 2, vocab_size), each [examples, pairs], rows without
// repetition.
struct Bindings {
  std::vector<int32_t> keys;
  std::vector<int32_t> values;
};
Bindings draw_bindings(Draws& draws, int64_t examples, int64_t vocab_size, int64_t pairs);

// Weights power * (g + 1)^(power - 1) of the places g for a query. Throws ConfigError unless 1e-6 <= power <= 10.
std::vector<double> slot_weights(std::string_view task, int64_t slots, double power);

// Throws ConfigError "task: message" unless ok.
template <class... Args>
void require(bool ok, std::string_view task, fmt::format_string<Args...> message, Args&&... args) {
  if (!ok) throw ConfigError("{}: {}", task, fmt::format(message, std::forward<Args>(args)...));
}

// What every recall task asks: pairs >= 1, an even seq_len >= 2, seq_len < vocab_size < 2^31.
void check_recall_sizes(std::string_view task, int64_t vocab_size, int64_t seq_len, int64_t pairs);

}  // namespace rebased
