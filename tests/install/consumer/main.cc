#include <base/error.h>
#include <base/shape.h>
#include <base/threads.h>

#include <atomic>
#include <cstdio>

int main() {
  const rebased::Shape shape{2, 3, 4};
  std::atomic<int64_t> visited{0};
  rebased::parallel_for(shape.numel(), 1, [&](int64_t begin, int64_t end) { visited += end - begin; });
  try {
    rebased::Dims("consumer").check("x", shape, "B T");
    return 1;
  } catch (const rebased::ShapeError& error) {
    std::puts(error.what());
  }
  return visited == 24 ? 0 : 1;
}
