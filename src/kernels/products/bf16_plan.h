#pragma once

#include <algorithm>
#include <cstdint>

#include "base/threads.h"
#include "kernels/bf16_product.h"
#include "kernels/tools/scratch.h"

namespace rebased::kernels::cpu {

// A register tile is kBf16Rows rows by kBf16Columns columns of c. What it reads is packed in pairs of numbers that
// follow each other along K, at most kBf16Depth numbers of K at a time.
inline constexpr int64_t kBf16Rows = 8, kBf16Columns = 48;
inline constexpr int64_t kBf16Depth = 512;
inline constexpr int64_t kBf16PanelPairs = kBf16Columns * kBf16Depth / 2;  // of b: 48 KiB
inline constexpr int64_t kBf16RowPairs = kBf16Depth / 2 + 16;  // of a; a line more, so that rows differ in cache sets
inline constexpr int64_t kBf16BlockRows = 128;                 // of a: 136 KiB, which stay in the second cache
inline constexpr int64_t kBf16BlockDepths = 4;                 // of b, with
inline constexpr int64_t kBf16BlockPanels = 42;                // its columns at most 8 MiB, for the third cache

// How a product is cut: b into blocks of columns and depths, which all threads pack before they multiply; and the rows
// of c, or its columns where rows are few, over threads.
struct Bf16Plan {
  int64_t depths, depth;  // depth is a multiple of 32
  int64_t block_panels;   // of kBf16Columns columns
  bool over_rows;

  explicit Bf16Plan(const Bf16ProductArgs& args) {
    depths = std::max<int64_t>(1, ceil_of(args.K, kBf16Depth));
    depth = round_up(ceil_of(args.K, depths), 32);
    const int64_t panels = std::max<int64_t>(1, ceil_of(args.N, kBf16Columns));
    block_panels = ceil_of(panels, ceil_of(panels, kBf16BlockPanels));
    over_rows = args.M >= 64 * thread_count();
  }

  int64_t b_pairs() const { return block_panels * std::min(depths, kBf16BlockDepths) * kBf16PanelPairs; }
  static constexpr int64_t a_pairs() { return kBf16BlockRows * kBf16RowPairs; }  // of a thread
  static constexpr int64_t ceil_of(int64_t n, int64_t parts) { return (n + parts - 1) / parts; }
};

// A product on its way: the block of b that is being multiplied, and it packed: [depth, panel, pair of K,
// kBf16Columns].
struct Bf16Job {
  Bf16ProductArgs args;
  Bf16Plan plan;
  int64_t column = 0, columns = 0, panels = 0;
  int64_t begin_depth = 0, end_depth = 0;
  uint32_t* b = nullptr;

  uint32_t* panel(int64_t depth, int64_t p) const { return b + ((depth - begin_depth) * panels + p) * kBf16PanelPairs; }
};

}  // namespace rebased::kernels::cpu
