#pragma once

#include <cstdint>
#include <vector>

#include "data/text_shards.h"

namespace rebased {

// The chance of a byte after the two before it, counted on a text: what a language model has to beat to be worth its
// name. Interpolated Witten-Bell smoothing (Bell, Cleary and Witten 1990; Chen and Goodman 1998, section 2.5):
//   P(w | h) = (count(h w) + kinds(h) P(w | h without its first byte)) / (count(h) + kinds(h)),
// kinds(h) being how many different bytes followed h; below the empty h stands 1 / 256. Holds 65 MiB.
class NgramModel {
 public:
  explicit NgramModel(const ByteText& text);  // counts its first 2^32 - 1 bytes

  double probability(uint8_t byte) const;                                // after nothing
  double probability(uint8_t last, uint8_t byte) const;                  // after one byte
  double probability(uint8_t before, uint8_t last, uint8_t byte) const;  // after two

  // Mean of -log2 P over every byte of the text but the first, which the windows of a model do not predict either.
  // Throws ConfigError that names a text of fewer than 2 bytes.
  double bits_per_byte(const ByteText& text) const;

 private:
  // For every context: the counts of the 256 bytes after it, their sum, and how many are not 0.
  struct Table {
    explicit Table(size_t contexts) : counts(contexts * 256), totals(contexts), kinds(contexts) {}
    void add(size_t context, uint8_t byte);
    double smooth(size_t context, uint8_t byte, double shorter) const;
    std::vector<uint32_t> counts, totals, kinds;
  };

  Table none_{1}, one_{256}, two_{65536};
};

}  // namespace rebased
