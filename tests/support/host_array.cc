#include "support/host_array.h"

#include <fmt/format.h>

#include <algorithm>

namespace rebased::testing {

HostArray HostArray::zeros(const Shape& shape) { return filled(shape, 0); }

HostArray HostArray::filled(const Shape& shape, double value) {
  return {shape, std::vector<double>(static_cast<size_t>(shape.numel()), value)};
}

HostArray HostArray::normal(const Shape& shape, uint64_t key, double std) {
  HostArray result = zeros(shape);
  Rng rng(key);
  for (double& x : result.data) x = static_cast<float>(std * rng.normal());  // exact in every engine
  return result;
}

HostArray HostArray::permuted(std::initializer_list<int> order) const {
  HostArray result = zeros(shape);
  std::vector<int64_t> strides(order.size());
  int out = 0;
  for (int dim : order) {
    result.shape[out] = shape[dim];
    strides[static_cast<size_t>(out)] = 1;
    for (int i = dim + 1; i < shape.rank(); ++i) strides[static_cast<size_t>(out)] *= shape[i];
    ++out;
  }
  for (size_t i = 0; i < result.data.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), from = 0;
    for (int dim = shape.rank() - 1; dim >= 0; --dim) {
      from += rest % result.shape[dim] * strides[static_cast<size_t>(dim)];
      rest /= result.shape[dim];
    }
    result.data[i] = data[static_cast<size_t>(from)];
  }
  return result;
}

HostArray HostArray::sliced(int dim, int64_t begin, int64_t length) const {
  HostArray result{shape.with(dim, length), {}};
  int64_t inner = 1, outer = 1;
  for (int i = dim + 1; i < shape.rank(); ++i) inner *= shape[i];
  for (int i = 0; i < dim; ++i) outer *= shape[i];
  for (int64_t i = 0; i < outer; ++i) {
    const auto first = data.begin() + (i * shape[dim] + begin) * inner;
    result.data.insert(result.data.end(), first, first + length * inner);
  }
  return result;
}

double HostArray::max_abs() const {
  double largest = 0;
  for (double x : data) largest = std::max(largest, std::abs(x));
  return largest;
}

HostArray read(const Value& x) {
  HostArray result = HostArray::zeros(x.shape());
  x.engine().to_host(x, result.data.data(), DType::kF64);
  return result;
}

Value write(Engine& engine, const HostArray& x) {
  return engine.from_host(x.data.data(), DType::kF64, x.shape, engine.compute_dtype());
}

Value write_ids(Engine& engine, const Shape& shape, const std::vector<int64_t>& ids) {
  return engine.from_host(ids.data(), DType::kI64, shape, DType::kI64);
}

std::string difference(std::string_view what, const HostArray& a, const HostArray& b, double bound) {
  if (a.shape != b.shape) return fmt::format("{}: shape {} instead of {}", what, a.shape.str(), b.shape.str());
  size_t worst = 0;
  double distance = -1;
  for (size_t i = 0; i < a.data.size(); ++i) {
    const double here = std::abs(a.data[i] - b.data[i]);
    if (!(here <= distance)) {
      worst = i;
      distance = here;
    }
    if (std::isnan(here)) break;
  }
  if (a.data.empty() || distance <= bound) return "";
  return fmt::format("{}: element {} of {} is {:.9g} instead of {:.9g}, {:.3g} apart where {:.3g} is allowed", what,
                     worst, a.shape.str(), a.data[worst], b.data[worst], distance, bound);
}

}  // namespace rebased::testing
