#include <base/error.h>
#include <base/shape.h>
#include <base/threads.h>
#include <kernels/dense.h>

#include <atomic>
#include <cstdio>
#include <vector>

namespace {

bool visits_every_index() {
  std::atomic<int64_t> visited{0};
  rebased::parallel_for(24, 1, [&](int64_t begin, int64_t end) { visited += end - begin; });
  return visited == 24;
}

bool refuses_a_wrong_shape() {
  try {
    rebased::Dims("consumer").check("x", rebased::Shape{2, 3, 4}, "B T");
  } catch (const rebased::ShapeError& error) {
    std::puts(error.what());
    return true;
  }
  return false;
}

// One row takes our own kernel and many rows take BLAS; small integers are exact in both.
bool multiplies(int64_t rows) {
  const int64_t inputs = 8, outputs = 3;
  const std::vector<float> x(static_cast<size_t>(rows * inputs), 2.0f), w(outputs * inputs, 3.0f), bias(outputs, 1.0f);
  std::vector<float> y(static_cast<size_t>(rows * outputs));
  std::vector<float> scratch(static_cast<size_t>(rebased::kernels::cpu::linear_scratch(rows, inputs)));
  rebased::kernels::cpu::linear(rows, inputs, outputs, x.data(), w.data(), bias.data(), y.data(), scratch.data());
  return y == std::vector<float>(y.size(), 49.0f);
}

}  // namespace

int main() { return visits_every_index() && refuses_a_wrong_shape() && multiplies(1) && multiplies(65) ? 0 : 1; }
