#pragma once

#include <cstdint>
#include <span>

namespace rebased {

// A step of an optimiser on one parameter: it changes arrays of one shape in place (the parameter, what is remembered
// of it) by others (its gradient). One folder of updates/ each; no engine knows any.
class Update {
 public:
  virtual ~Update() = default;
  virtual const char* folder() const = 0;                                  // that of its files in updates/
  virtual void run(int64_t n, std::span<float* const> arrays) const = 0;   // the kernel
  virtual void run(int64_t n, std::span<double* const> arrays) const = 0;  // the reference
};

}  // namespace rebased
