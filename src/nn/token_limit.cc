#include "nn/token_limit.h"

#include <algorithm>

namespace rebased {

int64_t token_limit(const SequenceModel& model) {
  int64_t limit = model.config().max_tokens;
  for (const auto& block : model.blocks()) {
    const int64_t of_mixer = block->mixer().traits().max_tokens;
    if (of_mixer > 0) limit = limit > 0 ? std::min(limit, of_mixer) : of_mixer;
  }
  return limit;
}

}  // namespace rebased
