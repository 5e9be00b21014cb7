#include "data/text_shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/error.h"
#include "data/temporary_folder.h"

namespace rebased {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string bytes_of(const ByteText& text, int64_t begin, int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count), -1);
  text.read(begin, count, ids.data());
  return {ids.begin(), ids.end()};
}
std::string bytes_of(const ByteText& text) { return bytes_of(text, 0, text.size()); }

// A view: `parts` must live as long as the text is read.
ByteText text_of(const std::vector<std::string>& parts) {
  std::vector<ByteText::Piece> pieces;
  for (const std::string& part : parts) pieces.push_back({std::as_bytes(std::span(part)), nullptr});
  return {"text", pieces};
}

TextOptions training_on(std::vector<std::string> paths) {
  TextOptions options;
  options.train = std::move(paths);
  return options;
}

TEST(ByteText, ReadsAcrossPieces) {
  EXPECT_TRUE(rc::check([](const std::vector<std::string>& parts) {
    std::string whole;
    for (const std::string& part : parts) whole += part;
    const ByteText text = text_of(parts);
    const auto size = static_cast<int64_t>(whole.size());
    RC_ASSERT(text.size() == size);
    const auto begin = *rc::gen::inRange<int64_t>(0, size + 1), end = *rc::gen::inRange<int64_t>(begin, size + 1);
    const std::string expected = whole.substr(begin, end - begin);
    RC_ASSERT(bytes_of(text, begin, end - begin) == expected);
    RC_ASSERT(bytes_of(text.part("part", begin, end)) == expected);
  }));
}

TEST(OpenText, SplitsTheEndOffForValidation) {
  const TemporaryFolder folder;
  TextOptions options = training_on({folder.write("a.txt", "0123456789"), folder.write("b.txt", "abcdefghi\xff")});
  TextShards text = open_text(options);
  EXPECT_EQ(bytes_of(text.train), "0123456789abcdefgh");
  EXPECT_EQ(bytes_of(text.validation), "i\xff");
  EXPECT_THAT(text.validation.name(), AllOf(HasSubstr("a.txt"), HasSubstr("b.txt"), HasSubstr("validation")));
  options.validation_fraction = 0.6;
  text = open_text(options);
  EXPECT_EQ(bytes_of(text.train), "01234567");
  EXPECT_EQ(bytes_of(text.validation), "89abcdefghi\xff");
  options.validation_fraction = 0;
  EXPECT_EQ(open_text(options).validation.size(), 0);
  options.validation = {folder.write("v.txt", "other")};
  options.validation_fraction = 0.5;
  text = open_text(options);
  EXPECT_EQ(text.train.size(), 20);
  EXPECT_EQ(bytes_of(text.validation), "other");
}

TEST(OpenText, TakesFoldersInTheOrderOfTheirPaths) {
  const TemporaryFolder folder;
  folder.write("books/b.txt", "B");
  folder.write("books/a/z.txt", "Z");
  folder.write("books/a/y.md", "Y");
  folder.write("books/empty.txt", "");
  TextOptions options = training_on({folder.path("books")});
  options.validation_fraction = 0;
  EXPECT_EQ(bytes_of(open_text(options).train), "YZB");
  options.extensions = {".txt"};
  EXPECT_EQ(bytes_of(open_text(options).train), "ZB");
  options.extensions = {".rst"};
  EXPECT_THAT([&] { open_text(options); }, ThrowsMessage<IoError>(AllOf(HasSubstr("books"), HasSubstr("*.rst"))));
}

TEST(OpenText, NamesTheFileThatIsMissingOrEmpty) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { open_text(training_on({folder.path("gone.txt")})); },
              ThrowsMessage<IoError>(HasSubstr("gone.txt: no such text file or folder")));
  EXPECT_THAT([&] { open_text(training_on({folder.write("empty.txt", "")})); },
              ThrowsMessage<IoError>(HasSubstr("empty.txt: the text file is empty")));
  EXPECT_THROW(open_text({}), ConfigError);
  TextOptions options = training_on({folder.write("a.txt", "text")});
  options.validation_fraction = 0.95;
  EXPECT_THAT([&] { open_text(options); }, ThrowsMessage<ConfigError>(HasSubstr("found 0.95")));
}

TEST(OpenText, OptionsAreReadFromJson) {
  const auto options = options_from_json<TextOptions>(
      {{"train", {"a"}}, {"validation", {"b"}}, {"validation_fraction", 0.2}, {"extensions", {".txt"}}}, "recipe.toml");
  EXPECT_THAT(options.train, ElementsAre("a"));
  EXPECT_THAT(options.validation, ElementsAre("b"));
  EXPECT_EQ(options.validation_fraction, 0.2);
  EXPECT_THAT(options.extensions, ElementsAre(".txt"));
}

TEST(SampleWindows, AreWindowsOfTheTextAndAFunctionOfSeedAndStep) {
  std::string bytes(256, '\0');
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  const std::vector<std::string> parts = {bytes.substr(0, 100), bytes.substr(100)};
  const ByteText text = text_of(parts);
  const std::vector<int32_t> ids = sample_windows(text, 50, 7, 1, 2);
  ASSERT_EQ(ids.size(), 400u);
  for (int row = 0; row < 50; ++row) {
    for (int t = 0; t < 8; ++t) EXPECT_EQ(ids[row * 8 + t], ids[row * 8] + t);
  }
  EXPECT_EQ(ids, sample_windows(text, 50, 7, 1, 2));
  EXPECT_NE(ids, sample_windows(text, 50, 7, 1, 3));
  EXPECT_NE(ids, sample_windows(text, 50, 7, 2, 2));
}

TEST(SampleWindows, ReachEveryPlaceOfTheText) {
  const std::vector<int32_t> ids = sample_windows(text_of({"abcdef"}), 4000, 2, 1, 0);
  std::vector<int> counts(4);
  for (int row = 0; row < 4000; ++row) ++counts.at(ids[row * 3] - 'a');
  for (int count : counts) EXPECT_NEAR(count, 1000, 6 * 27.4);  // six standard deviations
}

TEST(SampleWindows, NameATextThatIsTooShort) {
  EXPECT_EQ(sample_windows(text_of({"abc"}), 1, 2, 1, 0), (std::vector<int32_t>{'a', 'b', 'c'}));
  EXPECT_THAT(
      [] { sample_windows(text_of({"abc"}), 1, 3, 1, 0); },
      ThrowsMessage<ConfigError>(HasSubstr("text: a window of seq_len + 1 = 4 bytes needs more text than the 3")));
  EXPECT_THROW(sample_windows(text_of({"abc"}), 0, 1, 1, 0), ConfigError);
  EXPECT_THROW(sample_windows(text_of({"abc"}), 1, 0, 1, 0), ConfigError);
}

TEST(SequentialWindows, PredictEveryIdButTheFirstOnce) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<int64_t>(2, 200), seq_len = *rc::gen::inRange<int64_t>(1, 250);
    std::vector<int> predicted(static_cast<size_t>(size));
    const auto windows = sequential_windows(text_of({std::string(size, 'x')}), seq_len);
    for (const TextWindow& window : windows) {
      RC_ASSERT(window.length >= 2 && window.length <= seq_len + 1);
      RC_ASSERT(window.length == seq_len + 1 || &window == &windows.back());
      for (int64_t t = 1; t < window.length; ++t) ++predicted.at(window.begin + t);
    }
    RC_ASSERT(predicted[0] == 0);
    for (int64_t t = 1; t < size; ++t) RC_ASSERT(predicted[t] == 1);
  }));
  EXPECT_THAT([] { sequential_windows(text_of({"a"}), 3); }, ThrowsMessage<ConfigError>(HasSubstr("at least 2 bytes")));
  EXPECT_THROW(sequential_windows(text_of({"abc"}), 0), ConfigError);
}

}  // namespace
}  // namespace rebased
