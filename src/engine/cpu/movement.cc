// Values to and from the host, and the operations that move elements without arithmetic.

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "engine/cpu/cpu_value.h"
#include "engine/cpu/host_engine.h"

namespace rebased {
namespace {

// A dense array seen as [outer, extent, inner] around one dimension; inner in bytes.
struct Around {
  int64_t outer = 1, extent = 1, inner = 1;
};

Around around(const Value& x, int dim) {
  Around result;
  for (int i = 0; i < dim; ++i) result.outer *= x.size(i);
  result.extent = x.size(dim);
  result.inner = dtype_size(x.dtype());
  for (int i = dim + 1; i < x.shape().rank(); ++i) result.inner *= x.size(i);
  return result;
}

const char* bytes(const Value& x) { return static_cast<const char*>(x.as<CpuValue>().data()); }
char* mutable_bytes(const Value& x) { return static_cast<char*>(mutable_data(x)); }

void check_held(const Engine& engine, DType dtype) {
  if (dtype == engine.compute_dtype() || dtype == DType::kI64) return;
  throw DeviceError("the {} engine holds {} and I64 values, not {}", engine.name(), dtype_name(engine.compute_dtype()),
                    dtype_name(dtype));
}

constexpr int64_t kCopiedBytes = int64_t{1} << 17;  // worth a thread

int64_t byte_count(const Value& x) { return x.shape().numel() * dtype_size(x.dtype()); }

// Runs of bytes, `from` and `to` so far apart from one to the next.
struct Runs {
  int64_t count, bytes;
  const char* from;
  int64_t from_step;
  char* to;
  int64_t to_step;
};

void copy_runs(const Runs& runs) {
  parallel_for(runs.count, std::max<int64_t>(1, kCopiedBytes / std::max<int64_t>(1, runs.bytes)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   std::memcpy(runs.to + i * runs.to_step, runs.from + i * runs.from_step,
                               static_cast<size_t>(runs.bytes));
                 }
               });
}

}  // namespace

template <class Real>
std::shared_ptr<void> HostEngine<Real>::memory(int64_t bytes) {
  return arena_->acquire(static_cast<size_t>(bytes));
}

template <class Real>
std::shared_ptr<void> HostEngine<Real>::scratch(int64_t reals) {
  return memory(reals * static_cast<int64_t>(sizeof(Real)));
}

template <class Real>
Value HostEngine<Real>::make(const Shape& shape, DType dtype) {
  std::shared_ptr<void> block = memory(shape.numel() * dtype_size(dtype));
  const void* data = block.get();
  return Value(std::make_shared<CpuValue>(this, shape, dtype, data, std::move(block), true));
}

template <class Real>
Value HostEngine<Real>::from_host(const void* data, DType dtype, const Shape& shape, DType as) {
  check_held(*this, as);
  Value result = make(shape, as);
  convert_elements(data, dtype, mutable_data(result), as, shape.numel());
  return result;
}

template <class Real>
Value HostEngine<Real>::borrow(const float* data, const Shape& shape, std::shared_ptr<const void> /*owner*/) {
  return from_host(data, DType::kF32, shape, kReal);
}

template <class Real>
std::span<const float> HostEngine<Real>::host_view(const Value& x) {
  if (x.dtype() != DType::kF32) return {};
  return {floats(x), static_cast<size_t>(x.shape().numel())};
}

template <class Real>
void HostEngine<Real>::to_host(const Value& x, void* data, DType as) {
  convert_elements(bytes(x), x.dtype(), data, as, x.shape().numel());
}

template <class Real>
Value HostEngine<Real>::full(const Shape& shape, DType dtype, double fill) {
  check_held(*this, dtype);
  Value result = make(shape, dtype);
  if (dtype == DType::kI64) {
    std::fill_n(static_cast<int64_t*>(mutable_data(result)), shape.numel(), static_cast<int64_t>(fill));
  } else {
    std::fill_n(mutable_reals<Real>(result), shape.numel(), static_cast<Real>(fill));
  }
  return result;
}

template <class Real>
Value HostEngine<Real>::copy(const Value& x) {
  Value result = make(x.shape(), x.dtype());
  std::memcpy(mutable_data(result), bytes(x), static_cast<size_t>(byte_count(x)));
  return result;
}

template <class Real>
Value HostEngine<Real>::reshape(const Value& x, const Shape& shape) {
  const auto& impl = x.as<CpuValue>();
  return Value(std::make_shared<CpuValue>(this, shape, x.dtype(), impl.data(), impl.owner(), impl.writable()));
}

template <class Real>
Value HostEngine<Real>::transpose(const Value& x) {
  const int64_t N = x.size(0), M = x.size(1);
  Value result = make(Shape({M, N}));
  for (int64_t i = 0; i < N; ++i) {
    for (int64_t j = 0; j < M; ++j) mutable_reals<Real>(result)[j * N + i] = reals<Real>(x)[i * M + j];
  }
  return result;
}

template <class Real>
Value HostEngine<Real>::slice(const Value& x, int dim, int64_t begin, int64_t length) {
  const Around from = around(x, dim);
  Value result = make(x.shape().with(dim, length), x.dtype());
  const int64_t run = length * from.inner;
  copy_runs({from.outer, run, bytes(x) + begin * from.inner, from.extent * from.inner, mutable_bytes(result), run});
  return result;
}

template <class Real>
std::vector<Value> HostEngine<Real>::split(const Value& x, int dim, std::span<const int64_t> lengths) {
  std::vector<Value> parts;
  int64_t begin = 0;
  for (int64_t length : lengths) {
    parts.push_back(slice(x, dim, begin, length));
    begin += length;
  }
  return parts;
}

template <class Real>
Value HostEngine<Real>::concat(std::span<const Value> parts, int dim) {
  int64_t total = 0;
  for (const Value& part : parts) total += part.size(dim);
  Value result = make(parts.front().shape().with(dim, total), parts.front().dtype());
  int64_t at = 0;
  for (const Value& part : parts) {
    const Around from = around(part, dim);
    const int64_t run = from.extent * from.inner;
    copy_runs({from.outer, run, bytes(part), run, mutable_bytes(result) + at * from.inner, total * from.inner});
    at += from.extent;
  }
  return result;
}

template <class Real>
Value HostEngine<Real>::select_rows(const Value& x, std::span<const int64_t> rows) {
  const int64_t row_bytes = around(x, 0).inner;
  Value result = make(x.shape().with(0, static_cast<int64_t>(rows.size())), x.dtype());
  const int64_t grain = std::max<int64_t>(1, kCopiedBytes / std::max<int64_t>(1, row_bytes));
  parallel_for(static_cast<int64_t>(rows.size()), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(mutable_bytes(result) + i * row_bytes, bytes(x) + rows[static_cast<size_t>(i)] * row_bytes,
                  static_cast<size_t>(row_bytes));
    }
  });
  return result;
}

template <class Real>
Value HostEngine<Real>::write_time(Value&& cache, const Value& x, int64_t at) {
  Value result = cache.unique() && cache.as<CpuValue>().exclusive() ? std::move(cache) : copy(cache);
  const Around to = around(result, 1);
  const int64_t run = x.size(1) * to.inner;
  copy_runs({to.outer, run, bytes(x), run, mutable_bytes(result) + at * to.inner, to.extent * to.inner});
  return result;
}

template class HostEngine<float>;
template class HostEngine<double>;

}  // namespace rebased
