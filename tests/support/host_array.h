#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "engine/engine.h"

namespace rebased::testing {

// What tests compute with: any value, as doubles on the host.
struct HostArray {
  Shape shape;
  std::vector<double> data;

  static HostArray zeros(const Shape& shape);
  static HostArray filled(const Shape& shape, double value);
  static HostArray normal(const Shape& shape, uint64_t key, double std = 1);  // N(0, std^2), a function of key alone

  HostArray as(const Shape& other) const { return {other, data}; }  // the same elements
  HostArray permuted(std::initializer_list<int> order) const;       // dimension i of the result is dimension order[i]
  HostArray sliced(int dim, int64_t begin, int64_t length) const;
  double max_abs() const;
};

HostArray read(const Value& x);
Value write(Engine& engine, const HostArray& x);                                       // in the compute dtype
Value write_ids(Engine& engine, const Shape& shape, const std::vector<int64_t>& ids);  // i64

// "" when |a - b| <= bound for every element, else a sentence that names `what` and the worst element. NaN is never
// near.
std::string difference(std::string_view what, const HostArray& a, const HostArray& b, double bound);

}  // namespace rebased::testing
