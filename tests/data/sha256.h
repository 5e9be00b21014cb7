#pragma once

#include <fmt/format.h>
#include <openssl/sha.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rebased {

// SHA-256, in hexadecimal, of the values written as little-endian int64.
inline std::string sha256_of_int64(std::span<const int32_t> values) {
  std::vector<unsigned char> bytes;
  bytes.reserve(values.size() * 8);
  for (int64_t value : values) {
    for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<unsigned char>(value >> shift));
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(bytes.data(), bytes.size(), digest);
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

}  // namespace rebased
