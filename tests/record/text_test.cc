#include "record/text.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "record/table.h"

namespace rebased {
namespace {

TEST(Text, WidthCountsCodePointsAndStrayBytes) {
  EXPECT_EQ(text_width(""), 0);
  EXPECT_EQ(text_width("abc"), 3);
  EXPECT_EQ(text_width("Größe …"), 7);
  EXPECT_EQ(text_width("\xff\xc3(\xe2\x82"), 5);  // nothing here is UTF-8 but the "("
}

TEST(Text, FitsByCuttingAtACodePoint) {
  EXPECT_EQ(fit_text("Größe", 5), "Größe");
  EXPECT_EQ(fit_text("Größe", 4), "Grö…");
  EXPECT_EQ(fit_text("Größe", 1), "…");
  EXPECT_EQ(fit_text("Größe", 0), "");
  EXPECT_EQ(fit_text("Größe", -3), "");
}

TEST(Text, EscapesMarkupAndWhatXmlCannotHold) {
  EXPECT_EQ(escape_xml("<a b='1' c=\"2\">&</a>"), "&lt;a b=&#39;1&#39; c=&quot;2&quot;&gt;&amp;&lt;/a&gt;");
  EXPECT_EQ(escape_xml("tab\tline\n"), "tab\tline\n");
  EXPECT_EQ(escape_xml(std::string_view("\0\x1b\x7f", 3)), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(escape_xml("é€😀"), "é€😀");
  for (const char* bad : {"\xc0\x80", "\xed\xa0", "\xf5\x80"}) {  // overlong, surrogate, above U+10FFFF
    EXPECT_EQ(escape_xml(bad), "\xef\xbf\xbd\xef\xbf\xbd") << bad;
  }
  EXPECT_EQ(escape_xml("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(escape_xml("\xef\xbf\xbf"), "\xef\xbf\xbd");  // a noncharacter
}

TEST(Text, FormatsDurations) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(725), "12:05");
  EXPECT_EQ(format_duration(3 * 3600 + 131), "3:02:11");
  EXPECT_EQ(format_duration(86400 * 2 + 3 * 3600), "2d 03h");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(1e300), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::quiet_NaN()), "?");
}

TEST(Text, FormatsValuesWithFourDigits) {
  EXPECT_EQ(format_value(0.5), "0.5000");
  EXPECT_EQ(format_value(12.3456), "12.35");
  EXPECT_EQ(format_value(999.94), "999.9");
  EXPECT_EQ(format_value(999.96), "1000");
  EXPECT_EQ(format_value(-12345.6), "-12346");
  EXPECT_EQ(format_value(1.5e9), "1.500e+09");
  EXPECT_EQ(format_value(-0.0), "0");
  EXPECT_EQ(format_value(1.25e-5), "1.250e-05");
  EXPECT_EQ(format_value(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(format_value(-std::numeric_limits<double>::infinity()), "-inf");
}

Table sample_table() {
  Table table({{"mixer"}, {"accuracy", Align::kRight}});
  table.add_row({"rebased", "0.99"}).add_row({"größer|x\ny", "1"});
  return table;
}

TEST(Table, AlignsByCodePoints) {
  EXPECT_EQ(sample_table().text(),
            "mixer       accuracy\n"
            "──────────  ────────\n"
            "rebased         0.99\n"
            "größer|x y         1\n");
}

TEST(Table, LeavesNoBlanksAtTheEndOfALine) {
  Table table({{"a"}, {"b"}});
  table.add_row({"1", ""});
  EXPECT_EQ(table.text(), "a  b\n─  ─\n1\n");
}

TEST(Table, WritesMarkdown) {
  EXPECT_EQ(sample_table().markdown(),
            "| mixer       | accuracy |\n"
            "| ----------- | -------: |\n"
            "| rebased     |     0.99 |\n"
            "| größer\\|x y |        1 |\n");
}

TEST(Table, RefusesARowOfAnotherLength) { EXPECT_THROW(sample_table().add_row({"1"}), ShapeError); }

}  // namespace
}  // namespace rebased
