#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace rebased {

// Element types of values and files.
enum class DType : uint8_t {
  kF32,
  kF64,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool,
  kF8E4M3,
  kF8E5M2
};

int64_t dtype_size(DType dtype);           // bytes of one element
std::string_view dtype_name(DType dtype);  // as in safetensors: "F32", "BF16", ...
bool is_floating(DType dtype);

// Conversions are exact one way and round to nearest, ties to even, the other; NaN stays NaN.
inline float bf16_to_f32(uint16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }
uint16_t f32_to_bf16(float x);
float f16_to_f32(uint16_t x);
uint16_t f32_to_f16(float x);

// Converts n elements between any two of F32, F64, F16, BF16 and the integer types. Throws FormatError for an 8-bit
// float.
void convert_elements(const void* from, DType from_type, void* to, DType to_type, int64_t n);

}  // namespace rebased
