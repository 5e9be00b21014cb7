#include "record/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "record/temp_folder.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A clock that moves by `tick` seconds at each look.
MetricsWriter::Clock ticking(double tick, double start = 1000) {
  return [tick, now = start - tick]() mutable { return now += tick; };
}

TEST(Metrics, WritesOneObjectALine) {
  TempFolder folder;
  MetricsWriter writer(folder / "m.jsonl", {}, ticking(1.5));
  writer.write(1, 0.25, {{"loss", 2.5}, {"accuracy", 0.5}});
  writer.write(2, 0.5, {{"loss", 2}, {"split", "test"}});
  EXPECT_EQ(get_file(folder / "m.jsonl"),  // while the writer is open: every line is flushed
            "{\"step\":1,\"epoch\":0.25,\"time\":1.5,\"loss\":2.5,\"accuracy\":0.5}\n"
            "{\"step\":2,\"epoch\":0.5,\"time\":3.0,\"loss\":2,\"split\":\"test\"}\n");
}

TEST(Metrics, WritesWhatIsNotFiniteAsNullAndReadsItAsNan) {
  TempFolder folder;
  MetricsWriter(folder / "m.jsonl", {}, ticking(0)).write(7, 1, {{"loss", kNan}, {"norm", HUGE_VAL}, {"lr", 0.1}});
  EXPECT_EQ(get_file(folder / "m.jsonl"),
            "{\"step\":7,\"epoch\":1.0,\"time\":0.0,\"loss\":null,\"norm\":null,\"lr\":0.1}\n");
  const MetricPoints points = metric_points(read_metrics(folder / "m.jsonl"), "step", "loss");
  EXPECT_THAT(points.x, ElementsAre(7));
  ASSERT_EQ(points.y.size(), 1u);
  EXPECT_TRUE(std::isnan(points.y[0]));
}

TEST(Metrics, RefusesItsOwnKeysAndWhatIsNoObject) {
  TempFolder folder;
  MetricsWriter writer(folder / "m.jsonl");
  EXPECT_THAT([&] { writer.write(1, 0, {{"time", 3}}); }, ThrowsMessage<ConfigError>(HasSubstr("\"time\"")));
  EXPECT_THAT([&] { writer.write(1, 0, 3.5); }, ThrowsMessage<ConfigError>(HasSubstr("number")));
  EXPECT_EQ(get_file(folder / "m.jsonl"), "");
}

TEST(Metrics, ReplacesTextThatIsNotUtf8) {
  TempFolder folder;
  MetricsWriter(folder / "m.jsonl", {}, ticking(0)).write(1, 0, {{"note", "a\xff"}});
  EXPECT_THAT(get_file(folder / "m.jsonl"), HasSubstr("\"note\":\"a\xef\xbf\xbd\""));
}

TEST(Metrics, TornLastLineIsRemovedAtEveryLength) {
  TempFolder folder;
  const std::string first = "{\"step\":1,\"time\":1.0}\n", second = "{\"step\":2,\"loss\":12}";
  for (size_t length = 1; length < second.size(); ++length) {
    put_file(folder / "m.jsonl", first + second.substr(0, length));
    EXPECT_EQ(read_metrics(folder / "m.jsonl").size(), 1u) << length;
    MetricsWriter writer(folder / "m.jsonl");
    EXPECT_EQ(get_file(folder / "m.jsonl"), first) << length;
  }
}

TEST(Metrics, LastLineWithoutItsNewlineIsWhole) {
  TempFolder folder;
  put_file(folder / "m.jsonl", "{\"step\":1}\n{\"step\":2}");
  EXPECT_EQ(read_metrics(folder / "m.jsonl").size(), 2u);
  MetricsWriter writer(folder / "m.jsonl");
  EXPECT_EQ(get_file(folder / "m.jsonl"), "{\"step\":1}\n{\"step\":2}\n");
}

TEST(Metrics, ResumedRunEqualsAnUninterruptedOneButForTimes) {
  TempFolder folder;
  const auto write_steps = [](MetricsWriter& writer, int from, int to) {
    for (int step = from; step <= to; ++step) {
      writer.write(step, step / 4.0, {{"loss", 1.0 / step}});
      if (step % 2 == 0) writer.write(step, step / 4.0, {{"test_loss", 2.0 / step}});
    }
  };
  {
    MetricsWriter whole(folder / "whole.jsonl", {}, ticking(0));
    write_steps(whole, 1, 8);
    MetricsWriter crashed(folder / "resumed.jsonl", {}, ticking(0));
    write_steps(crashed, 1, 6);
  }
  put_file(folder / "resumed.jsonl", get_file(folder / "resumed.jsonl") + "{\"step\":7,\"ep");
  {
    MetricsWriter resumed(folder / "resumed.jsonl", 4, ticking(0));
    write_steps(resumed, 5, 8);
  }
  EXPECT_EQ(get_file(folder / "resumed.jsonl"), get_file(folder / "whole.jsonl"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);  // nothing temporary is left
}

TEST(Metrics, TimeGoesOnAfterAResume) {
  TempFolder folder;
  put_file(folder / "m.jsonl", "{\"step\":1,\"time\":20.0}\n{\"step\":2,\"time\":40.0}\n");
  MetricsWriter(folder / "m.jsonl", 1, ticking(0.5)).write(2, 0, nlohmann::ordered_json::object());
  EXPECT_THAT(metric_points(read_metrics(folder / "m.jsonl"), "step", "time").y, ElementsAre(20, 20.5));
}

TEST(Metrics, NamesTheLineThatIsNoRecord) {
  TempFolder folder;
  const std::string path = (folder / "m.jsonl").string();
  for (const char* bad :
       {"{\"step\":2", "[1]", "", "{\"epoch\":1}", "{\"step\":\"2\"}", "{\"step\":1.5}", "\xff\xfe"}) {
    put_file(path, "{\"step\":1}\n" + std::string(bad) + "\n{\"step\":3}\n");
    EXPECT_THAT([&] { read_metrics(path); }, ThrowsMessage<FormatError>(HasSubstr(path + ":2: expected"))) << bad;
    EXPECT_THROW(MetricsWriter{path}, FormatError) << bad;
  }
  EXPECT_THROW(read_metrics(folder / "absent.jsonl"), IoError);
  EXPECT_THROW(MetricsWriter(folder / "no_folder/m.jsonl"), IoError);
}

TEST(Metrics, ReadsAnEmptyFile) {
  TempFolder folder;
  put_file(folder / "m.jsonl", "");
  EXPECT_TRUE(read_metrics(folder / "m.jsonl").empty());
}

TEST(Metrics, PointsAreOfRecordsThatHaveBothKeys) {
  const std::vector<nlohmann::ordered_json> records = {
      {{"step", 1}, {"loss", 3}}, {{"step", 2}}, {{"step", 3}, {"loss", "high"}}, {{"step", 4}, {"loss", 1.5}}};
  const MetricPoints points = metric_points(records, "step", "loss");
  EXPECT_THAT(points.x, ElementsAre(1, 4));
  EXPECT_THAT(points.y, ElementsAre(3, 1.5));
}

}  // namespace
}  // namespace rebased
