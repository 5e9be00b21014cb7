// Values to and from the host, and the operations that move elements without arithmetic.

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "engine/cpu/cpu_engine.h"
#include "engine/cpu/cpu_value.h"

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

void check_held(DType dtype) {
  if (dtype == DType::kF32 || dtype == DType::kI64) return;
  throw DeviceError("the cpu engine holds F32 and I64 values, not {}", dtype_name(dtype));
}

constexpr int64_t kCacheLine = 64;
constexpr int64_t kCopiedBytes = int64_t{1} << 17;   // worth a thread
constexpr int64_t kPackedAtOnce = int64_t{1} << 16;  // 4 MiB of float32 numbers in tiles of kPackedTile rows

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

Value CpuEngine::make(const Shape& shape, DType dtype) {
  std::shared_ptr<void> block = arena_->acquire(static_cast<size_t>(shape.numel() * dtype_size(dtype)));
  const void* data = block.get();
  return Value(std::make_shared<CpuValue>(this, shape, dtype, data, std::move(block), true));
}

std::shared_ptr<void> CpuEngine::scratch(int64_t floats) {
  return arena_->acquire(static_cast<size_t>(floats) * sizeof(float));
}

Value CpuEngine::from_host(const void* data, DType dtype, const Shape& shape, DType as) {
  check_held(as);
  Value result = make(shape, as);
  convert_elements(data, dtype, mutable_data(result), as, shape.numel());
  return result;
}

Value CpuEngine::borrow(const float* data, const Shape& shape, std::shared_ptr<const void> owner) {
  return Value(std::make_shared<CpuValue>(this, shape, DType::kF32, data, std::move(owner), false));
}

Value CpuEngine::matrix(const Value& whole, const RowsRead& rows_read) {
  if (!weights_) return whole;
  const int64_t O = whole.size(0), I = whole.size(1);
  auto data_bytes = [&](int64_t rows) { return kernels::packed_data_bytes(*weights_, rows, I); };
  auto scale_bytes = [&](int64_t rows) { return kernels::packed_scale_bytes(*weights_, rows, I); };
  const int64_t scales_at = (data_bytes(O) + kCacheLine - 1) / kCacheLine * kCacheLine;
  std::shared_ptr<void> block = arena_->acquire(static_cast<size_t>(scales_at + scale_bytes(O)));
  char* data = static_cast<char*>(block.get());
  char* scales = data + scales_at;
  const int64_t tiles = kernels::packed_tiles(O),
                at_once = std::max<int64_t>(1, kPackedAtOnce / std::max<int64_t>(1, I));
  for (int64_t tile = 0; tile < tiles; tile += at_once) {
    const int64_t count = std::min(at_once, tiles - tile);
    const auto row = [&](int64_t t) { return std::min(O, (tile + t) * kernels::kPackedTile); };
    parallel_for(count, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, I)), [&](int64_t first, int64_t last) {
      const int64_t begin = row(first), end = row(last);
      kernels::pack(*weights_, end - begin, I, floats(whole) + begin * I, data + data_bytes(begin),
                    scales + scale_bytes(begin));
    });
    if (rows_read) rows_read(row(0), row(count));
  }
  const kernels::PackedMatrix packed{*weights_, O, I, data, scale_bytes(O) > 0 ? scales : nullptr};
  return Value(std::make_shared<PackedValue>(this, packed, std::move(block)));
}

Value CpuEngine::borrow_packed(const kernels::PackedMatrix& matrix, std::shared_ptr<const void> owner) {
  return Value(std::make_shared<PackedValue>(this, matrix, std::move(owner)));
}

int64_t CpuEngine::bytes_held(const Value& x) {
  const kernels::PackedMatrix* matrix = packed(x);
  if (matrix == nullptr) return byte_count(x);
  return kernels::packed_data_bytes(matrix->packing, matrix->O, matrix->I) +
         kernels::packed_scale_bytes(matrix->packing, matrix->O, matrix->I);
}

std::span<const float> CpuEngine::host_view(const Value& x) {
  if (packed(x) != nullptr || x.dtype() != DType::kF32) return {};
  return {floats(x), static_cast<size_t>(x.shape().numel())};
}

void CpuEngine::to_host(const Value& x, void* data, DType as) {
  if (const kernels::PackedMatrix* matrix = packed(x)) {
    std::vector<float> whole(static_cast<size_t>(x.shape().numel()));
    kernels::cpu::unpack_rows(*matrix, 0, matrix->O, whole.data());
    return convert_elements(whole.data(), DType::kF32, data, as, x.shape().numel());
  }
  convert_elements(bytes(x), x.dtype(), data, as, x.shape().numel());
}

Value CpuEngine::full(const Shape& shape, DType dtype, double fill) {
  check_held(dtype);
  Value result = make(shape, dtype);
  if (dtype == DType::kI64) {
    std::fill_n(static_cast<int64_t*>(mutable_data(result)), shape.numel(), static_cast<int64_t>(fill));
  } else {
    std::fill_n(mutable_floats(result), shape.numel(), static_cast<float>(fill));
  }
  return result;
}

Value CpuEngine::copy(const Value& x) {
  Value result = make(x.shape(), x.dtype());
  std::memcpy(mutable_data(result), bytes(x), static_cast<size_t>(byte_count(x)));
  return result;
}

Value CpuEngine::reshape(const Value& x, const Shape& shape) {
  const auto& impl = x.as<CpuValue>();
  return Value(std::make_shared<CpuValue>(this, shape, x.dtype(), impl.data(), impl.owner(), impl.writable()));
}

Value CpuEngine::transpose(const Value& x) {
  const int64_t N = x.size(0), M = x.size(1);
  Value result = make(Shape({M, N}));
  for (int64_t i = 0; i < N; ++i) {
    for (int64_t j = 0; j < M; ++j) mutable_floats(result)[j * N + i] = floats(x)[i * M + j];
  }
  return result;
}

Value CpuEngine::slice(const Value& x, int dim, int64_t begin, int64_t length) {
  const Around from = around(x, dim);
  Value result = make(x.shape().with(dim, length), x.dtype());
  const int64_t run = length * from.inner;
  copy_runs({from.outer, run, bytes(x) + begin * from.inner, from.extent * from.inner, mutable_bytes(result), run});
  return result;
}

std::vector<Value> CpuEngine::split(const Value& x, int dim, std::span<const int64_t> lengths) {
  std::vector<Value> parts;
  int64_t begin = 0;
  for (int64_t length : lengths) {
    parts.push_back(slice(x, dim, begin, length));
    begin += length;
  }
  return parts;
}

Value CpuEngine::concat(std::span<const Value> parts, int dim) {
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

Value CpuEngine::select_rows(const Value& x, std::span<const int64_t> rows) {
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

Value CpuEngine::write_time(Value&& cache, const Value& x, int64_t at) {
  Value result = cache.unique() && cache.as<CpuValue>().exclusive() ? std::move(cache) : copy(cache);
  const Around to = around(result, 1);
  const int64_t run = x.size(1) * to.inner;
  copy_runs({to.outer, run, bytes(x), run, mutable_bytes(result) + at * to.inner, to.extent * to.inner});
  return result;
}

}  // namespace rebased
