#include "text/utf8_stream.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

namespace rebased {
namespace {

constexpr auto kReplacement = "\xef\xbf\xbd";

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string decode_whole(const std::string& bytes) {
  Utf8Stream stream;
  const std::string text = stream.feed(bytes);
  return text + stream.finish();
}

std::string decode_bytewise(const std::string& bytes) {
  Utf8Stream stream;
  std::string text;
  for (char byte : bytes) text += stream.feed(std::string_view(&byte, 1));
  return text + stream.finish();
}

void check_cases(const std::string& file, const std::string& expected_field, size_t count) {
  std::ifstream cases(REBASED_TESTS_DIR "/golden/text/" + file);
  size_t seen = 0;
  for (std::string line; std::getline(cases, line); ++seen) {
    const auto json = nlohmann::json::parse(line);
    const std::string bytes = from_hex(json.at("hex")), expected = json.at(expected_field);
    EXPECT_EQ(decode_whole(bytes), expected) << json.at("id");
    EXPECT_EQ(decode_bytewise(bytes), expected) << json.at("id");
  }
  EXPECT_EQ(seen, count);
}

TEST(Utf8Stream, DecodesTheGoldenCases) {
  check_cases("decode.jsonl", "text", 22);
  check_cases("invalid_utf8.jsonl", "replaced_text", 16);
}

TEST(Utf8Stream, ACharacterLeavesWithItsLastByte) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed("\xf0\x9f"), "");
  EXPECT_EQ(stream.feed("\x98"), "");
  EXPECT_EQ(stream.feed("\x80"), "\xf0\x9f\x98\x80");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, AnErrorLeavesWithTheByteThatShowsIt) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed("\xe2\x82"), "");
  EXPECT_EQ(stream.feed("a"), std::string(kReplacement) + "a");
  EXPECT_EQ(stream.feed("\xff"), kReplacement);
  EXPECT_EQ(stream.feed("\xed"), "");
  EXPECT_EQ(stream.feed("\xa0"), std::string(kReplacement) + kReplacement);  // a surrogate, refused at its second byte
  EXPECT_EQ(stream.feed("\xc3"), "");
  EXPECT_EQ(stream.feed("\xc3"), kReplacement);  // the second one begins a character of its own
  EXPECT_EQ(stream.feed("\xa9"), "\xc3\xa9");
  EXPECT_EQ(stream.feed("\xe2\x82"), "");
  EXPECT_EQ(stream.finish(), kReplacement);
  EXPECT_EQ(stream.feed("\x80"), kReplacement);  // after finish nothing is pending
}

TEST(Utf8Stream, WhatIsPassedOverAndWhatComesOutAreOneText) {
  Utf8Stream stream;
  stream.pass_over("a\xf0\x9f");
  EXPECT_EQ(stream.feed("\x98"), "");
  EXPECT_EQ(stream.feed("\x80"
                        "b"),
            "\x98\x80"
            "b");  // the reader has the first two bytes
  EXPECT_EQ(stream.feed("\xff"), kReplacement);
  stream.pass_over("\xe2\x82");
  EXPECT_EQ(stream.feed("a"), "a");  // no U+FFFD for what the reader replaces himself
  stream.pass_over("\xf0");
  EXPECT_EQ(stream.feed("\x9f"
                        "a"),
            "\x9f"
            "a");  // lost neither
  stream.pass_over("\xe2");
  EXPECT_EQ(stream.feed("\x82"), "");
  EXPECT_EQ(stream.finish(), "\x82");
  stream.pass_over("\xe2\x82\xac");
  EXPECT_EQ(stream.feed("\xac"), kReplacement);  // nothing was left open
  stream.pass_over("");
  EXPECT_EQ(stream.finish(), "");
}

// Bytes at the borders of UTF-8's ranges.
std::string any_bytes() {
  const auto byte =
      rc::gen::elementOf(std::vector<int>{0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1,
                                          0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff});
  const auto values = *rc::gen::container<std::vector<int>>(byte);
  return {values.begin(), values.end()};
}

// Every code point passes unchanged; nlohmann's strict dump is the judge of what is valid UTF-8.
TEST(Utf8Stream, AnyBytesBecomeValidTextHoweverTheyAreCut) {
  EXPECT_TRUE(rc::check([&] {
    const std::string bytes = any_bytes();
    const std::string text = decode_whole(bytes);
    RC_ASSERT(decode_bytewise(bytes) == text);
    RC_ASSERT(!nlohmann::json(text).dump().empty());  // throws for invalid UTF-8
    RC_ASSERT(decode_whole(text) == text);
  }));
}

TEST(Utf8Stream, PassingOverAnyBytesChangesNothingOfTheText) {
  EXPECT_TRUE(rc::check([&] {
    const std::string before = any_bytes(), behind = any_bytes();
    Utf8Stream stream;
    stream.pass_over(before);
    std::string out = stream.feed(behind);
    out += stream.finish();
    RC_ASSERT(decode_whole(before + out) == decode_whole(before + behind));
  }));
}

TEST(Utf8Stream, StoppingAnywhereChangesNoByte) {
  EXPECT_TRUE(rc::check([&] {
    const std::string known = any_bytes(), before = any_bytes(), behind = any_bytes();
    Utf8Stream whole, first, second;
    whole.pass_over(known);
    first.pass_over(known);
    std::string out = first.feed(before);
    second.resume(first.begun());
    out += second.feed(behind);
    out += second.finish();
    std::string expected = whole.feed(before + behind);
    expected += whole.finish();
    RC_ASSERT(out == expected);
  }));
}

TEST(Utf8Stream, EveryCodePointPassesUnchanged) {
  for (uint32_t c = 0; c <= 0x10ffff; c = c == 0xd7ff ? 0xe000 : c + 1) {
    std::string text;
    const auto tail = [&](int shift) { text.push_back(static_cast<char>(0x80 | (c >> shift & 0x3f))); };
    if (c < 0x80) {
      text.push_back(static_cast<char>(c));
    } else if (c < 0x800) {
      text.push_back(static_cast<char>(0xc0 | c >> 6));
      tail(0);
    } else if (c < 0x10000) {
      text.push_back(static_cast<char>(0xe0 | c >> 12));
      tail(6);
      tail(0);
    } else {
      text.push_back(static_cast<char>(0xf0 | c >> 18));
      tail(12);
      tail(6);
      tail(0);
    }
    ASSERT_EQ(decode_whole(text), text) << c;
  }
}

}  // namespace
}  // namespace rebased
