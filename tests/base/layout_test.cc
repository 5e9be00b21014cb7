#include "base/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Starts = std::vector<std::vector<int64_t>>;

TEST(Layout, OfWholeRowsContinuesEveryRow) {
  const Layout layout = Layout::whole(2, 3);
  EXPECT_TRUE(layout.is_whole());
  EXPECT_THAT(layout.positions(), ElementsAre(0, 1, 2, 0, 1, 2));
  const std::vector<int64_t> before = {4, 0};
  EXPECT_THAT(layout.positions(before), ElementsAre(4, 5, 6, 0, 1, 2));
  EXPECT_THAT(layout.after(before), ElementsAre(7, 3));
}

TEST(Layout, OfPackedRowsBeginsAgainAtEveryStart) {
  const Layout layout = Layout::packed(Starts{{2, 3}, {0}, {}}, 5);
  EXPECT_FALSE(layout.is_whole());
  const std::vector<int64_t> before = {7, 7, 7};
  EXPECT_THAT(layout.positions(before), ElementsAre(7, 8, 0, 0, 1, 0, 1, 2, 3, 4, 7, 8, 9, 10, 11));
  EXPECT_THAT(layout.after(before), ElementsAre(2, 5, 12));
}

TEST(Layout, OfLengthsPadsOnEitherSide) {
  const std::vector<int64_t> lengths = {1, 0, 3}, before = {5, 6, 0};
  EXPECT_THAT(Layout::of_lengths(lengths, 3, Layout::Side::kBehind).positions(before),
              ElementsAre(5, -1, -1, -1, -1, -1, 0, 1, 2));
  const Layout front = Layout::of_lengths(lengths, 3, Layout::Side::kFront);
  EXPECT_THAT(front.positions(), ElementsAre(-1, -1, 0, -1, -1, -1, 0, 1, 2));
  EXPECT_THAT(front.after(before), ElementsAre(6, 6, 3));
  EXPECT_THROW(Layout::of_lengths(std::vector<int64_t>{4}, 3, Layout::Side::kFront), ShapeError);
}

TEST(Layout, TakesPrefixesDocumentByDocument) {
  const Layout plain = Layout::packed(Starts{{0, 2}}, 5), layout = plain.with_prefixes(std::vector<int64_t>{0, 2});
  EXPECT_FALSE(plain.has_prefix());
  EXPECT_TRUE(layout.has_prefix());
  EXPECT_FALSE(layout.without_prefixes().has_prefix());
  EXPECT_THROW(plain.with_prefixes(std::vector<int64_t>{1}), ShapeError);
  EXPECT_THROW(plain.with_prefixes(std::vector<int64_t>{1, 4}), ShapeError);
}

TEST(Layout, RefusesWhatOverlapsOrLiesOutside) {
  using Documents = std::vector<Layout::Document>;
  const auto refusal = [](Documents documents) {
    try {
      const Layout layout(2, 6, std::move(documents));
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(refusal({{.row = 2, .begin = 0, .length = 1}}), HasSubstr("row 2 lies outside of 2 rows of 6 tokens"));
  EXPECT_THAT(refusal({{.row = 0, .begin = 4, .length = 3}}), HasSubstr("tokens 4 to 7"));
  EXPECT_THAT(refusal({{.row = 0, .begin = 0, .length = 0}}), HasSubstr("lies outside"));
  EXPECT_THAT(refusal({{.row = 0, .begin = 0, .length = 3}, {.row = 0, .begin = 2, .length = 1, .continues = false}}),
              HasSubstr("not overlap"));
  EXPECT_THAT(refusal({{.row = 1, .begin = 0, .length = 3}, {.row = 0, .begin = 0, .length = 1}}),
              HasSubstr("must ascend"));
  EXPECT_THAT(refusal({{.row = 0, .begin = 0, .length = 3}, {.row = 0, .begin = 3, .length = 1}}),
              HasSubstr("only the first document of row 0 can continue"));
  EXPECT_THAT(refusal({{.row = 0, .begin = 0, .length = 3, .prefix = 4}}), HasSubstr("is 4 tokens long"));
}

}  // namespace
}  // namespace rebased
