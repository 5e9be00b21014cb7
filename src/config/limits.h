#pragma once

#include <cstdint>

// The largest sizes that options, flags and what is derived from them may have. A product of a number of rows, of
// tokens and of channels does not fit int64: what a recipe's sizes take together is judged by train/recipe_size.h.
namespace rebased {

inline constexpr int64_t kMostChannels = int64_t{1} << 20;  // and features, heads, and these together
inline constexpr int64_t kMostLayers = int64_t{1} << 16;
inline constexpr int64_t kMostTokens = (int64_t{1} << 31) - 1;  // of a row; taps and windows too
inline constexpr int64_t kMostIds = (int64_t{1} << 31) - 1;     // ids are int32
inline constexpr int64_t kMostRecallIds = int64_t{1} << 22;     // of a recall task, which shuffles them for each row
inline constexpr int64_t kMostRows = (int64_t{1} << 31) - 1;    // of a batch or a data set
inline constexpr int64_t kMostSteps = 1'000'000'000'000;
inline constexpr int64_t kMostRounds = 1'000'000;  // of timing

// Numbers that float32 holds in full, in round figures: what is smaller may become 0 there, what is larger infinity.
inline constexpr double kLeastNumber = 1.2e-38;
inline constexpr double kMostNumber = 3.4e38;

}  // namespace rebased
