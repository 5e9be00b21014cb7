#include "base/dtype.h"

#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace rebased {
namespace {

struct DTypeInfo {
  std::string_view name;
  int64_t size;
  bool floating;
};

// Indexed by DType.
constexpr std::array<DTypeInfo, 15> kInfo{{{"F32", 4, true},
                                           {"F64", 8, true},
                                           {"F16", 2, true},
                                           {"BF16", 2, true},
                                           {"I64", 8, false},
                                           {"I32", 4, false},
                                           {"I16", 2, false},
                                           {"I8", 1, false},
                                           {"U8", 1, false},
                                           {"U16", 2, false},
                                           {"U32", 4, false},
                                           {"U64", 8, false},
                                           {"BOOL", 1, false},
                                           {"F8_E4M3", 1, true},
                                           {"F8_E5M2", 1, true}}};

template <class T>
T load(const void* data, int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <class T>
void store(void* data, int64_t i, T value) {
  std::memcpy(static_cast<char*>(data) + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// Calls f with a loader `(data, i) -> number` for the dtype, wide enough to lose nothing.
template <class F>
void with_loader(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f([](const void* d, int64_t i) { return load<float>(d, i); });
    case DType::kF64:
      return f([](const void* d, int64_t i) { return load<double>(d, i); });
    case DType::kF16:
      return f([](const void* d, int64_t i) { return f16_to_f32(load<uint16_t>(d, i)); });
    case DType::kBF16:
      return f([](const void* d, int64_t i) { return bf16_to_f32(load<uint16_t>(d, i)); });
    case DType::kI64:
      return f([](const void* d, int64_t i) { return load<int64_t>(d, i); });
    case DType::kI32:
      return f([](const void* d, int64_t i) { return load<int32_t>(d, i); });
    case DType::kI16:
      return f([](const void* d, int64_t i) { return load<int16_t>(d, i); });
    case DType::kI8:
      return f([](const void* d, int64_t i) { return load<int8_t>(d, i); });
    case DType::kBool:
    case DType::kU8:
      return f([](const void* d, int64_t i) { return load<uint8_t>(d, i); });
    case DType::kU16:
      return f([](const void* d, int64_t i) { return load<uint16_t>(d, i); });
    case DType::kU32:
      return f([](const void* d, int64_t i) { return load<uint32_t>(d, i); });
    case DType::kU64:
      return f([](const void* d, int64_t i) { return load<uint64_t>(d, i); });
    default:
      throw FormatError("8-bit floats ({}) cannot be converted", dtype_name(dtype));
  }
}

template <class Load>
void convert_from(const Load& get, const void* from, void* to, DType to_type, int64_t n) {
  auto loop = [&](auto put) {
    for (int64_t i = 0; i < n; ++i) put(i, get(from, i));
  };
  switch (to_type) {
    case DType::kF32:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<float>(x)); });
    case DType::kF64:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<double>(x)); });
    case DType::kF16:
      return loop([to](int64_t i, auto x) { store(to, i, f32_to_f16(static_cast<float>(x))); });
    case DType::kBF16:
      return loop([to](int64_t i, auto x) { store(to, i, f32_to_bf16(static_cast<float>(x))); });
    case DType::kI64:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<int64_t>(x)); });
    case DType::kI32:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<int32_t>(x)); });
    case DType::kI16:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<int16_t>(x)); });
    case DType::kU16:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<uint16_t>(x)); });
    case DType::kU8:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<uint8_t>(x)); });
    case DType::kBool:
      return loop([to](int64_t i, auto x) { store(to, i, static_cast<uint8_t>(x != 0)); });
    default:
      throw FormatError("nothing is converted to {}", dtype_name(to_type));
  }
}

}  // namespace

int64_t dtype_size(DType dtype) { return kInfo[static_cast<size_t>(dtype)].size; }
std::string_view dtype_name(DType dtype) { return kInfo[static_cast<size_t>(dtype)].name; }
bool is_floating(DType dtype) { return kInfo[static_cast<size_t>(dtype)].floating; }

uint16_t f32_to_bf16(float x) {
  auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<uint16_t>((bits >> 16) | 0x40);  // quiet, never rounded to infinity
  bits += 0x7fff + ((bits >> 16) & 1);
  return static_cast<uint16_t>(bits >> 16);
}

float f16_to_f32(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000) << 16;
  const uint32_t exponent = (x >> 10) & 0x1f;
  const uint32_t mantissa = x & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t f32_to_f16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to 65536 or more
  if (magnitude < 0x38800000) {                                              // below 2^-14: subnormal, spacing 2^-24
    const float units = std::bit_cast<float>(magnitude) * 0x1p24f;
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(units)));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}

void convert_elements(const void* from, DType from_type, void* to, DType to_type, int64_t n) {
  if (n == 0) return;  // either pointer may be null then
  if (from_type == to_type) {
    std::memcpy(to, from, static_cast<size_t>(n * dtype_size(from_type)));
    return;
  }
  with_loader(from_type, [&](auto get) { convert_from(get, from, to, to_type, n); });
}

}  // namespace rebased
