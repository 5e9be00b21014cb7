#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "io/file.h"

namespace rebased {

// A hash of named bytes, whatever the order in which they are added: XXH64 of a line for each name, with the XXH64 of
// its bytes.
class Digest {
 public:
  void add(const std::string& name, std::span<const std::byte> bytes) { hashes_[name] = xxh64(bytes); }

  void add(const std::string& name, std::string_view text) { add(name, std::as_bytes(std::span(text))); }

  std::string hex() const {  // 16 digits
    std::string lines;
    for (const auto& [name, hash] : hashes_) lines += fmt::format("{} {:016x}\n", name, hash);
    return fmt::format("{:016x}", xxh64(std::as_bytes(std::span(lines))));
  }

 private:
  std::map<std::string, uint64_t> hashes_;
};

}  // namespace rebased
