#include "base/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Batch three_rows() {
  Batch batch = Batch::of_tokens(3, 2, {1, 2, 3, 4, 5, 6}, {-1, 2, 3, -100, 5, 6});
  batch.inputs["features"] = {.shape = Shape({3, 2, 1}), .numbers = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f}};
  batch.layout = Layout(3, 2, {{.row = 0, .begin = 0, .length = 1}, {.row = 2, .begin = 0, .length = 2}});
  return batch;
}

TEST(Batch, SlicesEverythingByRows) {
  const Batch part = three_rows().slice(1, 2);
  EXPECT_EQ(part.rows, 2);
  EXPECT_EQ(part.tokens(), 2);
  EXPECT_EQ(part.input("tokens").shape, Shape({2, 2}));
  EXPECT_THAT(part.input("tokens").ids, ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(part.input("features").shape, Shape({2, 2, 1}));
  EXPECT_THAT(part.input("features").numbers, ElementsAre(0.3f, 0.4f, 0.5f, 0.6f));
  EXPECT_THAT(part.targets, ElementsAre(3, -100, 5, 6));
  EXPECT_THAT(part.layout->positions(), ElementsAre(-1, -1, 0, 1));
}

TEST(Batch, CountsWhatIsAsked) {
  EXPECT_EQ(three_rows().asked(), 4);
  EXPECT_EQ(three_rows().slice(0, 1).asked(), 1);
  EXPECT_EQ(Batch{}.tokens(), 0);
}

TEST(Batch, NamesAnInputThatIsMissing) {
  EXPECT_THAT([] { three_rows().input("source"); }, ThrowsMessage<ShapeError>(HasSubstr("expected source")));
}

}  // namespace
}  // namespace rebased
