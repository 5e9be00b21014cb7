#include "base/tokens.h"

#include "base/error.h"

namespace rebased {

void check_tokens(const char* op, const char* name, std::span<const int64_t> tokens, int64_t B, int64_t T) {
  if (tokens.size() % static_cast<size_t>(B) != 0)
    throw ShapeError("[{}] {}: expected as many tokens of each of {} rows, found {}", op, name, B, tokens.size());
  const size_t N = tokens.size() / static_cast<size_t>(B);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= T)
      throw ShapeError("[{}] {}[{}]: token {} of {} does not exist", op, name, i, tokens[i], T);
    if (i % N > 0 && tokens[i] <= tokens[i - 1])
      throw ShapeError("[{}] {}[{}]: token {} does not ascend", op, name, i, tokens[i]);
  }
}

}  // namespace rebased
