#pragma once

#include <cstdint>
#include <span>

namespace rebased {

// Throws ShapeError, "[op] name ...", unless tokens are [B, N] for some N, below T and ascending in a row.
void check_tokens(const char* op, const char* name, std::span<const int64_t> tokens, int64_t B, int64_t T);

}  // namespace rebased
