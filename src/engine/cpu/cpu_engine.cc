#include "engine/cpu/cpu_engine.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/threads.h"
#include "engine/cpu/cpu_value.h"

namespace rebased {
namespace {

namespace cpu = kernels::cpu;

constexpr int64_t kCacheLine = 64;
constexpr int64_t kPackedAtOnce = int64_t{1} << 16;  // 4 MiB of float32 numbers in tiles of kPackedTile rows

}  // namespace

Value CpuEngine::borrow(const float* data, const Shape& shape, std::shared_ptr<const void> owner) {
  return Value(std::make_shared<CpuValue>(this, shape, DType::kF32, data, std::move(owner), false));
}

Value CpuEngine::matrix(const Value& whole, const RowsRead& rows_read) {
  if (!weights_) return whole;
  const int64_t O = whole.size(0), I = whole.size(1);
  auto data_bytes = [&](int64_t rows) { return kernels::packed_data_bytes(*weights_, rows, I); };
  auto scale_bytes = [&](int64_t rows) { return kernels::packed_scale_bytes(*weights_, rows, I); };
  const int64_t scales_at = (data_bytes(O) + kCacheLine - 1) / kCacheLine * kCacheLine;
  std::shared_ptr<void> block = memory(scales_at + scale_bytes(O));
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
  if (matrix == nullptr) return x.shape().numel() * dtype_size(x.dtype());
  return kernels::packed_data_bytes(matrix->packing, matrix->O, matrix->I) +
         kernels::packed_scale_bytes(matrix->packing, matrix->O, matrix->I);
}

std::span<const float> CpuEngine::host_view(const Value& x) {
  return packed(x) != nullptr ? std::span<const float>() : HostEngine::host_view(x);
}

void CpuEngine::to_host(const Value& x, void* data, DType as) {
  const kernels::PackedMatrix* matrix = packed(x);
  if (matrix == nullptr) return HostEngine::to_host(x, data, as);
  std::vector<float> whole(static_cast<size_t>(x.shape().numel()));
  cpu::unpack_rows(*matrix, 0, matrix->O, whole.data());
  convert_elements(whole.data(), DType::kF32, data, as, x.shape().numel());
}

Value CpuEngine::embedding(const Value& id_values, const Value& table) {
  const kernels::PackedMatrix* matrix = packed(table);
  if (matrix == nullptr) return HostEngine::embedding(id_values, table);
  Value y = make_embedded(id_values, table);
  const int64_t count = id_values.shape().numel();
  for (int64_t i = 0; i < count; ++i) {
    cpu::unpack_rows(*matrix, ids(id_values)[i], 1, mutable_floats(y) + i * matrix->I);
  }
  return y;
}

Value CpuEngine::linear(const Value& x, const Value& w, const Value& bias) {
  const kernels::PackedMatrix* matrix = packed(w);
  if (matrix == nullptr) return HostEngine::linear(x, w, bias);
  Value y = make(x.shape().with(-1, w.size(0)));
  const std::shared_ptr<void> work = scratch(cpu::packed_linear_scratch(rows(x), *matrix));
  cpu::packed_linear(rows(x), floats(x), *matrix, floats_or_null(bias), mutable_floats(y),
                     static_cast<float*>(work.get()));
  return y;
}

// For an evaluation, which is bound by products and not by reading weights: the matrix as it is computed with.
Value CpuEngine::unpacked(const Value& x) {
  const kernels::PackedMatrix* matrix = packed(x);
  if (matrix == nullptr) return x;
  Value y = make(x.shape());
  parallel_for(matrix->O, 64, [&](int64_t begin, int64_t end) {
    cpu::unpack_rows(*matrix, begin, end - begin, mutable_floats(y) + begin * matrix->I);
  });
  return y;
}

CrossEntropy CpuEngine::cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) {
  return HostEngine::cross_entropy(x, unpacked(e), labels);
}

}  // namespace rebased
