#include "data/ngram.h"

#include <cmath>

#include "base/error.h"

namespace rebased {
namespace {

// Calls f(byte, before, last, known) for the bytes of the text, `known` of the two before it being part of the text.
template <class F>
void for_each_byte(const ByteText& text, const F& f) {
  uint8_t before = 0, last = 0;
  int known = 0;
  for (const ByteText::Piece& piece : text.pieces()) {
    for (std::byte b : piece.bytes) {
      const auto byte = std::to_integer<uint8_t>(b);
      f(byte, before, last, known);
      before = last;
      last = byte;
      if (known < 2) ++known;
    }
  }
}

size_t pair_index(uint8_t before, uint8_t last) { return size_t{before} * 256 + last; }

}  // namespace

void NgramModel::Table::add(size_t context, uint8_t byte) {
  if (counts[context * 256 + byte]++ == 0) ++kinds[context];
  ++totals[context];
}

double NgramModel::Table::smooth(size_t context, uint8_t byte, double shorter) const {
  const double total = totals[context], kind = kinds[context];
  if (total == 0) return shorter;
  return (counts[context * 256 + byte] + kind * shorter) / (total + kind);
}

NgramModel::NgramModel(const ByteText& text) {
  const ByteText counted = text.part(text.name(), 0, std::min<int64_t>(text.size(), UINT32_MAX));
  for_each_byte(counted, [this](uint8_t byte, uint8_t before, uint8_t last, int known) {
    none_.add(0, byte);
    if (known >= 1) one_.add(last, byte);
    if (known == 2) two_.add(pair_index(before, last), byte);
  });
}

double NgramModel::probability(uint8_t byte) const { return none_.smooth(0, byte, 1.0 / 256); }

double NgramModel::probability(uint8_t last, uint8_t byte) const { return one_.smooth(last, byte, probability(byte)); }

double NgramModel::probability(uint8_t before, uint8_t last, uint8_t byte) const {
  return two_.smooth(pair_index(before, last), byte, probability(last, byte));
}

double NgramModel::bits_per_byte(const ByteText& text) const {
  if (text.size() < 2) throw ConfigError("{}: bits per byte need at least 2 bytes, found {}", text.name(), text.size());
  double bits = 0;
  for_each_byte(text, [&](uint8_t byte, uint8_t before, uint8_t last, int known) {
    if (known == 1) bits -= std::log2(probability(last, byte));
    if (known == 2) bits -= std::log2(probability(before, last, byte));
  });
  return bits / static_cast<double>(text.size() - 1);
}

}  // namespace rebased
