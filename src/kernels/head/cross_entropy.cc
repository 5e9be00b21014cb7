#include "kernels/cross_entropy.h"

#include <algorithm>

#include "kernels/head/cross_entropy_plan.h"

namespace rebased::kernels::cpu {
namespace {

constexpr int64_t kWidestTiles = 192;  // measured: from here on BLAS is as fast

bool by_tiles(const CrossEntropyArgs<float>& args) { return !args.bf16 && args.C <= kWidestTiles; }

}  // namespace

int64_t cross_entropy_scratch(const CrossEntropyArgs<float>& args) noexcept {
  return by_tiles(args) ? cross_entropy_tiles_scratch(args) : cross_entropy_blocks_scratch(args);
}

void cross_entropy(const CrossEntropyArgs<float>& args) noexcept {
  if (args.N <= 0) {
    if (args.d_e) std::fill_n(args.d_e, args.V * args.C, 0.0f);
    return;
  }
  if (by_tiles(args)) {
    cross_entropy_tiles(args);
  } else {
    cross_entropy_blocks(args);
  }
}

}  // namespace rebased::kernels::cpu
