#include "kernels/cross_entropy.h"

#include <algorithm>

#include "kernels/cpu/cross_entropy_plan.h"

namespace rebased::kernels::cpu {
namespace {

constexpr int64_t kWidestTiles = 192;  // measured: from here on BLAS is as fast

}  // namespace

int64_t cross_entropy_scratch(const CrossEntropyArgs<float>& args) noexcept {
  return args.C <= kWidestTiles ? cross_entropy_tiles_scratch(args) : cross_entropy_blas_scratch(args);
}

void cross_entropy(const CrossEntropyArgs<float>& args) noexcept {
  if (args.N <= 0) {
    if (args.d_e) std::fill_n(args.d_e, args.V * args.C, 0.0f);
    return;
  }
  if (args.C <= kWidestTiles) {
    cross_entropy_tiles(args);
  } else {
    cross_entropy_blas(args);
  }
}

}  // namespace rebased::kernels::cpu
