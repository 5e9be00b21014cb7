#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "hwy/targets.h"

namespace rebased::kernels {

// An array for a kernel: starts `offset` elements off the allocation's alignment, and checks when it goes that nothing
// was written before or behind it.
template <class Real>
class Buffer {
 public:
  explicit Buffer(int64_t n, int64_t offset = 1, Real fill = std::numeric_limits<Real>::quiet_NaN())
      : offset_(offset + kGuard), size_(n), storage_(static_cast<size_t>(n + offset + 2 * kGuard), kMark) {
    std::fill_n(data(), n, fill);
  }
  Buffer(Buffer&&) noexcept = default;
  Buffer& operator=(Buffer&&) noexcept = default;
  ~Buffer() {
    if (storage_.empty()) return;
    for (int64_t i = 0; i < offset_; ++i) EXPECT_EQ(storage_[static_cast<size_t>(i)], kMark) << "written before";
    for (int64_t i = 0; i < kGuard; ++i) EXPECT_EQ(data()[size_ + i], kMark) << "written behind";
  }

  Real* data() { return storage_.data() + offset_; }
  const Real* data() const { return storage_.data() + offset_; }
  int64_t size() const { return size_; }
  Real& operator[](int64_t i) { return data()[i]; }
  std::vector<double> doubles() const { return std::vector<double>(data(), data() + size_); }
  std::vector<Real> values() const { return std::vector<Real>(data(), data() + size_); }

 private:
  static constexpr int64_t kGuard = 32;
  static constexpr Real kMark = static_cast<Real>(-12345.5);

  int64_t offset_;
  int64_t size_;
  std::vector<Real> storage_;
};

inline Buffer<float> random_buffer(int64_t n, uint64_t key, double scale = 1, int64_t offset = 1) {
  Buffer<float> buffer(n, offset);
  Rng rng(mix64(key));
  for (int64_t i = 0; i < n; ++i) buffer[i] = static_cast<float>(scale * rng.normal());
  return buffer;
}

inline std::vector<double> random_doubles(int64_t n, uint64_t key, double scale = 1) {
  std::vector<double> values(static_cast<size_t>(n));
  Rng rng(mix64(key));
  for (double& value : values) value = scale * rng.normal();
  return values;
}

// |got - want| <= relative |want| + absolute for every element; NaN never passes.
inline void expect_near(const Buffer<float>& got, const std::vector<double>& want, double relative, double absolute,
                        const std::string& what) {
  ASSERT_EQ(got.size(), static_cast<int64_t>(want.size())) << what;
  int reported = 0;
  for (size_t i = 0; i < want.size() && reported < 3; ++i) {
    const double value = got.data()[i];
    if (std::abs(value - want[i]) <= relative * std::abs(want[i]) + absolute) continue;
    ADD_FAILURE() << what << " at " << i << ": " << value << " instead of " << want[i];
    ++reported;
  }
}

// Runs f() once for each instruction set that this machine and build have.
template <class Function>
void for_each_target(const Function& f) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    f();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Runs f() with 1, 2 and 3 threads.
template <class Function>
void for_each_thread_count(const Function& f) {
  const int before = thread_count();
  for (int threads : {1, 2, 3}) {
    SCOPED_TRACE(threads);
    set_thread_count(threads);
    f();
  }
  set_thread_count(before);
}

}  // namespace rebased::kernels
