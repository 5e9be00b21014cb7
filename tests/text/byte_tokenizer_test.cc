#include "text/byte_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(ByteTokenizer, IdsAreBytes) {
  const ByteTokenizer tokenizer;
  EXPECT_EQ(tokenizer.vocab_size(), 257);
  EXPECT_EQ(tokenizer.end_of_text(), 256);
  EXPECT_THAT(tokenizer.encode("a\xc3\xa9\xff"), ElementsAre(97, 0xc3, 0xa9, 0xff));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{97, 256, 98}), "ab");
  EXPECT_TRUE(rc::check([&](const std::string& text) { RC_ASSERT(tokenizer.decode(tokenizer.encode(text)) == text); }));
}

TEST(ByteTokenizer, WithoutEndOfTextThereAre256Ids) {
  ByteTokenizerOptions options;
  options.end_of_text = false;
  const ByteTokenizer tokenizer(options);
  EXPECT_EQ(tokenizer.vocab_size(), 256);
  EXPECT_FALSE(tokenizer.end_of_text());
  EXPECT_THAT([&] { tokenizer.decode(std::vector<int32_t>{256}); },
              ThrowsMessage<FormatError>(HasSubstr("id 256 is outside [0, 256)")));
  EXPECT_THROW(tokenizer.decode(std::vector<int32_t>{-1}), FormatError);
}

TEST(ByteTokenizer, IsReadBackFromItsDocument) {
  for (bool end_of_text : {false, true}) {
    ByteTokenizerOptions options;
    options.end_of_text = end_of_text;
    const auto read = tokenizer_from_json(ByteTokenizer(options).to_json(), "tokenizer.json");
    EXPECT_EQ(read->name(), "byte");
    EXPECT_EQ(read->end_of_text().has_value(), end_of_text);
    EXPECT_EQ(read->to_json(), ByteTokenizer(options).to_json());
  }
}

TEST(Tokenizer, RefusesDocumentsOfOtherKinds) {
  const auto refused = [](const Json& document, const std::string& message) {
    EXPECT_THAT([&] { tokenizer_from_json(document, "m/tokenizer.json"); },
                ThrowsMessage<ConfigError>(AllOf(HasSubstr("m/tokenizer.json"), HasSubstr(message))));
  };
  refused(Json::array(), "list");
  refused({{"model", {{"type", "BPE"}}}}, "expected one of byte, found 'BPE'");
  refused({{"modell", Json::object()}}, "did you mean 'model'");
  refused({{"version", "9"}}, "1.0");
  refused({{"model", {{"type", "byte"}, {"end_of_text", 3}}}}, "end_of_text");
}

}  // namespace
}  // namespace rebased
