#include "data/ngram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace rebased {
namespace {

ByteText text_of(const std::string& bytes) { return {"text", {{std::as_bytes(std::span(bytes)), nullptr}}}; }

// By hand: "abab" has 4 bytes of 2 kinds; b followed a twice and nothing else did.
TEST(NgramModel, SmoothsAsWittenAndBell) {
  const std::string bytes = "abab";
  const NgramModel model(text_of(bytes));
  const double a = (2 + 2.0 / 256) / (4 + 2), c = (2.0 / 256) / (4 + 2);
  EXPECT_DOUBLE_EQ(model.probability('a'), a);
  EXPECT_DOUBLE_EQ(model.probability('c'), c);
  EXPECT_DOUBLE_EQ(model.probability('a', 'b'), (2 + a) / (2 + 1));
  EXPECT_DOUBLE_EQ(model.probability('a', 'c'), c / 3);
  EXPECT_DOUBLE_EQ(model.probability('c', 'a'), a);  // c was never seen
  EXPECT_DOUBLE_EQ(model.probability('a', 'b', 'a'), (1 + (1 + a) / 2) / 2);
  EXPECT_DOUBLE_EQ(model.probability('x', 'a', 'b'), model.probability('a', 'b'));
}

TEST(NgramModel, ProbabilitiesOfEveryContextSumToOne) {
  const std::string bytes = "the rain in spain stays mainly in the plain";
  const NgramModel model(text_of(bytes));
  for (const char* context : {"th", "in", "zz", "zn", " i"}) {
    double sum = 0;
    for (int byte = 0; byte < 256; ++byte) {
      sum += model.probability(static_cast<uint8_t>(context[0]), static_cast<uint8_t>(context[1]),
                               static_cast<uint8_t>(byte));
    }
    EXPECT_NEAR(sum, 1, 1e-13) << context;  // 256 roundings of terms below 1
  }
}

TEST(NgramModel, BitsPerByteAverageTheLogarithms) {
  const std::string bytes = "abab", other = "ab";
  const NgramModel model(text_of(bytes));
  EXPECT_DOUBLE_EQ(model.bits_per_byte(text_of(other)), -std::log2(model.probability('a', 'b')));
  const double expected = -(std::log2(model.probability('a', 'b')) + std::log2(model.probability('a', 'b', 'a'))) / 2;
  EXPECT_NEAR(model.bits_per_byte(text_of("aba")), expected, 1e-15);
  EXPECT_THROW(model.bits_per_byte(text_of("a")), ConfigError);
}

// Bytes uniform over four: two bits each, however they are modelled. The estimate of 400 thousand bytes is within 1 %:
// smoothing and the noise of 64 counts of about 6000 cost less.
TEST(NgramModel, FindsTheEntropyOfASource) {
  Rng rng(5);
  std::string train(400000, ' '), test(100000, ' ');
  for (char& byte : train) byte = "acgt"[rng.below(4)];
  for (char& byte : test) byte = "acgt"[rng.below(4)];
  EXPECT_NEAR(NgramModel(text_of(train)).bits_per_byte(text_of(test)), 2, 0.02);
  // A source with memory of two: every byte is the one two before it, so that nothing is left to tell.
  for (size_t i = 2; i < train.size(); ++i) train[i] = train[i - 2];
  EXPECT_LT(NgramModel(text_of(train)).bits_per_byte(text_of(train)), 0.001);
}

TEST(NgramModel, CountsAcrossPieces) {
  const std::string left = "the ra", right = "in in spain", whole = left + right;
  const ByteText pieces("text",
                        {{std::as_bytes(std::span(left)), nullptr}, {std::as_bytes(std::span(right)), nullptr}});
  EXPECT_EQ(NgramModel(pieces).bits_per_byte(text_of(whole)), NgramModel(text_of(whole)).bits_per_byte(pieces));
}

}  // namespace
}  // namespace rebased
