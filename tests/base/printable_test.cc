#include "base/printable.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"

namespace rebased {
namespace {

constexpr std::string_view kName("a\0b\n\x1b[2J\x7f", 9);

TEST(Printable, SpellsControlCharactersOutAndNothingElse) {
  EXPECT_EQ(printable(kName), "a\\x00b\\n\\x1b[2J\\x7f");
  EXPECT_EQ(printable("\t\r"), "\\t\\r");
  EXPECT_EQ(printable("gr\u00f6\u00dfer \\ \xff"), "gr\u00f6\u00dfer \\ \xff");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, MessagesOfErrorsAreWholeAndOnOneLine) {
  EXPECT_STREQ(FormatError("tensor '{}': no shape", kName).what(), "tensor 'a\\x00b\\n\\x1b[2J\\x7f': no shape");
  EXPECT_STREQ(IoError(std::string("a\0b", 3)).what(), "a\\x00b");
  EXPECT_STREQ(ConfigError(FormatError("{}", kName).what()).what(), "a\\x00b\\n\\x1b[2J\\x7f");  // spelled out once
}

TEST(Printable, LinesOfTheLogAreOneLine) {
  testing::internal::CaptureStderr();
  log_warning("{} is odd", kName);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: a\\x00b\\n\\x1b[2J\\x7f is odd\n");
}

TEST(Shortened, CutsBetweenCharacters) {
  EXPECT_EQ(shortened(""), "");
  const std::string longest(60, 'x');
  EXPECT_EQ(shortened(longest), longest);
  EXPECT_EQ(shortened(longest + "y"), longest + "...");
  EXPECT_EQ(shortened(std::string(59, 'x') + "\xc3\xa9"), std::string(59, 'x') + "...");
}

}  // namespace
}  // namespace rebased
