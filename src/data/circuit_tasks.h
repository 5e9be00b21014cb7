#pragma once

#include <cstdint>

#include "config/limits.h"
#include "config/options.h"
#include "data/task.h"

// Functions of random bits, after zoology's circuits. A bit is 0 or 1 with probability 1/2; fewer examples are a prefix
// of more. Each generate throws ConfigError naming the option.
namespace rebased {

inline constexpr int32_t kEndOfBits = 2;  // asks for the answer of parity and majority

// Parity: seq_len - 1 bits, then the end token; the answer there is the number of ones modulo 2.
//   inputs 0 1 0 0 0 0 0 1 1 0 0 0 1 1 0 2
//   labels . . . . . . . . . . . . . . . 1      (seq_len 16, seed 2)
struct ParityOptions {
  static constexpr int64_t kVocabulary = kEndOfBits + 1;
  int64_t seq_len = 64;
  template <class V>
  void visit(V& v) {
    v("seq_len", seq_len, "bits and the end token", between(2, kMostTokens));
  }
};
TaskData generate(const ParityOptions& options, int64_t examples, uint64_t seed);

// Majority: seq_len - 1 bits, then the end token; the answer there is 1 when more than half of the bits are ones.
//   inputs 1 0 1 1 1 1 1 1 1 0 0 1 0 1 0 2
//   labels . . . . . . . . . . . . . . . 1      (seq_len 16, seed 5)
struct MajorityOptions : ParityOptions {};
TaskData generate(const MajorityOptions& options, int64_t examples, uint64_t seed);

// Cumulative parity: seq_len bits; the answer at every position is the parity of the bits up to it.
//   inputs 0 1 0 0 0 0 0 1 1 0 0 0 1 1 0 1
//   labels 0 1 1 1 1 1 1 0 1 1 1 1 0 1 1 0      (seq_len 16, seed 2)
struct CumulativeParityOptions {
  static constexpr int64_t kVocabulary = 2;
  int64_t seq_len = 64;
  template <class V>
  void visit(V& v) {
    v("seq_len", seq_len, "bits, each with an answer", between(1, kMostTokens));
  }
};
TaskData generate(const CumulativeParityOptions& options, int64_t examples, uint64_t seed);

// Cumulative majority: seq_len bits; the answer at every position is 1 when at least half of the bits up to it are
// ones.
//   inputs 0 1 0 1 1 0 0 0 0 1 1 1 0 1 0 1
//   labels 0 1 0 1 1 1 0 0 0 0 0 1 0 1 0 1      (seq_len 16, seed 6)
struct CumulativeMajorityOptions : CumulativeParityOptions {};
TaskData generate(const CumulativeMajorityOptions& options, int64_t examples, uint64_t seed);

}  // namespace rebased
