#include "train_cli/grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "config/document.h"

namespace rebased {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::string> suffixes(const std::vector<std::string>& grids) {
  std::vector<std::string> all;
  for (const GridPoint& point : grid_points(grids)) all.push_back(point.suffix);
  return all;
}

TEST(Grid, WithoutOneThereIsOnePoint) { EXPECT_THAT(suffixes({}), ElementsAre("")); }

TEST(Grid, TheLastChangesFastest) {
  EXPECT_THAT(suffixes({"optimizer.lr=[0.001, 1e-4]", "seed=[1,2]"}),
              ElementsAre("-lr-0.001-seed-1", "-lr-0.001-seed-2", "-lr-0.0001-seed-1", "-lr-0.0001-seed-2"));
}

TEST(Grid, ValuesAreCarriedOutAsSetDoes) {
  const std::string value = R"([{type="based",eps=1e-12,note="a = \"b\" / c"}, {type="attention"}])";
  const std::vector<GridPoint> points = grid_points({"model.mixers=[" + value + ", []]"});
  Json set = Json::object(), grid = Json::object();
  apply_set(set, "model.mixers=" + value);
  apply_set(grid, points.front().assignments.front());
  EXPECT_EQ(grid, set);
  EXPECT_EQ(points.back().assignments.front(), "model.mixers=[]");
}

TEST(Grid, SuffixesAreReadableShortAndUnique) {
  EXPECT_THAT(suffixes({R"(model.mixers=[[{type="rebased",num_heads=2}],[{type="attention"},{type="based"}]])"}),
              ElementsAre("-mixers-rebased-num_heads-2", "-mixers-attention-based"));
  EXPECT_THAT(suffixes({R"(x=["a/b","a-b","../../out",true,[1,[2]]])"}),
              ElementsAre("-x-a-b", "-x-a-b-2", "-x-------out", "-x-true", "-x-1-2"));
  const std::string word(60, 'w');
  EXPECT_THAT(suffixes({"x=['" + word + "1','" + word + "2']"}),
              ElementsAre("-x-" + std::string(48, 'w'), "-x-" + std::string(48, 'w') + "-2"));
}

TEST(Grid, RefusesWhatIsNoListOrTellsAValueTwice) {
  for (const char* grid : {"seed", "seed=", "seed=1", "seed=[]", "seed={a=1}"}) {
    EXPECT_THAT([&] { grid_points({grid}); }, ThrowsMessage<UsageError>(HasSubstr("expected KEY=[VALUE, ...]")))
        << grid;
  }
  EXPECT_THAT(
      [] { grid_points({"optimizer.lr=[1,nan]"}); },
      ThrowsMessage<ConfigError>("--grid optimizer.lr=[1,nan]: optimizer.lr.1: expected a finite number, found nan"));
  EXPECT_THAT([] { grid_points({"seed=[1"}); }, ThrowsMessage<ConfigError>(HasSubstr("--grid seed=[1: expected TOML")));
  EXPECT_THAT([] { grid_points({"seed=[1,2,1]"}); }, ThrowsMessage<UsageError>(HasSubstr("1 is there twice")));
}

}  // namespace
}  // namespace rebased
