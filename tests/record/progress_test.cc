#include "record/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "record/text.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A progress display on a clock and a terminal of the test's own.
struct Screen {
  explicit Screen(ProgressMode mode, int width = 100) {
    options.mode = mode;
    options.clock = [this] { return now; };
    options.columns = [width] { return width; };
    options.write = [this](std::string_view text) { writes.emplace_back(text); };
  }
  ProgressOptions options;
  double now = 50;
  std::vector<std::string> writes;
};

// What a write shows: without the code that erases the line.
std::string shown(const std::string& write) { return write.substr(write.find("\x1b[K") + 3); }

TEST(Progress, BarShowsStepRateAndRemainingTime) {
  Screen screen(ProgressMode::kBar);
  Progress progress(screen.options);
  progress.begin("train", 400);
  screen.now += 10;
  progress.update(100, {{"loss", 2.5}, {"accuracy", NAN}});
  ASSERT_EQ(screen.writes.size(), 2u);
  EXPECT_THAT(screen.writes[1], StartsWith("\r\x1b[K"));
  EXPECT_THAT(shown(screen.writes[1]), StartsWith("train  100/400   25%  ━━━━━"));
  EXPECT_THAT(shown(screen.writes[1]), EndsWith("  10.0 steps/s  ETA 0:30  loss 2.500  accuracy nan"));
  EXPECT_EQ(text_width(shown(screen.writes[1])), 99);
}

TEST(Progress, RedrawsNoOftenerThanItsInterval) {
  Screen screen(ProgressMode::kBar);
  screen.options.bar_seconds = 0.5;
  Progress progress(screen.options);
  progress.begin("train", 1000);
  for (int step = 1; step <= 100; ++step) {
    screen.now += 0.0625;  // exact in binary, so that the count is
    progress.update(step);
  }
  EXPECT_EQ(screen.writes.size(), 1u + 100 / 8);
}

TEST(Progress, EveryWidthFits) {
  for (int width = 2; width <= 140; ++width) {
    Screen screen(ProgressMode::kBar, width);
    Progress progress(screen.options);
    progress.begin("evaluate größe", 40000);
    screen.now += 1;
    progress.update(1234, {{"loss", 2.345}, {"accuracy", 0.5}});
    EXPECT_LE(text_width(shown(screen.writes.back())), width - 1) << width;
  }
}

TEST(Progress, BarGoesBeforeTheNumbersAreCut) {
  Screen screen(ProgressMode::kBar, 60);
  Progress progress(screen.options);
  progress.begin("train", 400);
  screen.now += 1;
  progress.update(100, {{"loss", 2.5}});
  EXPECT_EQ(shown(screen.writes.back()), "train  100/400   25%  100 steps/s  ETA 0:03  loss 2.500");
}

TEST(Progress, ValuesGoWhole) {
  Screen screen(ProgressMode::kBar, 60);
  Progress progress(screen.options);
  progress.begin("train", 400);
  screen.now += 1;
  progress.update(100, {{"loss", 2.5}, {"accuracy", 0.5}, {"norm", 1}});
  EXPECT_EQ(shown(screen.writes.back()), "train  100/400   25%  100 steps/s  ETA 0:03  loss 2.500");
}

TEST(Progress, ColorOnlyWhenAsked) {
  for (bool color : {false, true}) {
    Screen screen(ProgressMode::kBar);
    screen.options.color = color;
    Progress progress(screen.options);
    progress.begin("train", 4);
    screen.now += 1;
    progress.update(2);
    EXPECT_EQ(shown(screen.writes.back()).find('\x1b') != std::string::npos, color);
    EXPECT_EQ(shown(screen.writes.back()).find("╌") == std::string::npos, color);  // else the shapes must tell
  }
}

TEST(Progress, UnknownTotalHasNeitherPercentNorEta) {
  Screen screen(ProgressMode::kBar);
  screen.options.unit = "tokens";
  Progress progress(screen.options);
  progress.begin("generate", 0);
  screen.now += 2;
  progress.update(3);
  EXPECT_EQ(shown(screen.writes.back()), "generate  3  1.50 tokens/s");
}

TEST(Progress, FinishEndsTheLineOnce) {
  Screen screen(ProgressMode::kBar);
  Progress progress(screen.options);
  progress.begin("train", 10);
  screen.now += 0.05;
  progress.update(10, {{"loss", 1}});  // not due
  progress.finish();
  progress.finish();
  progress.update(11);  // outside of a phase
  ASSERT_EQ(screen.writes.size(), 2u);
  EXPECT_THAT(screen.writes[1], HasSubstr("10/10  100%"));
  EXPECT_THAT(screen.writes[1], EndsWith("200 steps/s  in 0:00  loss 1.000\n"));
}

TEST(Progress, InterruptedLoopEndsItsLine) {
  Screen screen(ProgressMode::kBar);
  try {
    Progress progress(screen.options);
    progress.begin("train", 10);
    progress.update(3);
    throw 1;
  } catch (int) {
  }
  EXPECT_THAT(screen.writes.back(), EndsWith("\n"));
  EXPECT_THAT(screen.writes.back(), HasSubstr(" 3/10   30%"));
}

TEST(Progress, BrokenOutputDoesNotEscapeTheDestructor) {
  Screen screen(ProgressMode::kLines);
  screen.options.write = [](std::string_view) { throw 1; };
  EXPECT_NO_THROW({
    Progress progress(screen.options);
    progress.begin("train", 10);
  });
}

TEST(Progress, MessagesStandAboveTheBar) {
  Screen screen(ProgressMode::kBar);
  Progress progress(screen.options);
  progress.message("before");
  progress.begin("train", 10);
  progress.message("saved");
  EXPECT_EQ(screen.writes[0], "before\n");
  EXPECT_EQ(screen.writes[2], "\r\x1b[Ksaved\n");
  EXPECT_THAT(shown(screen.writes[3]), StartsWith("train   0/10"));
  progress.finish();
  progress.message("after");
  EXPECT_EQ(screen.writes.back(), "after\n");
}

TEST(Progress, PlainLinesCarryNoCodes) {
  Screen screen(ProgressMode::kLines);
  screen.options.line_seconds = 5;
  Progress progress(screen.options);
  progress.begin("train", 100);
  for (int step = 1; step <= 11; ++step) {
    screen.now += 1;
    progress.update(step, {{"loss", 1.0 / step}});
  }
  progress.message("saved");
  progress.finish();
  EXPECT_THAT(screen.writes, ElementsAre("train 5/100 (5%)  1.00 steps/s  ETA 1:35  loss 0.2000\n",
                                         "train 10/100 (10%)  1.00 steps/s  ETA 1:30  loss 0.1000\n", "saved\n",
                                         "train 11/100 (11%)  1.00 steps/s  in 0:11  loss 0.09091\n"));
}

TEST(Progress, SilentShowsOnlyMessages) {
  Screen screen(ProgressMode::kSilent);
  Progress progress(screen.options);
  progress.begin("train", 10);
  screen.now += 100;
  progress.update(5);
  progress.message("saved");
  progress.finish();
  EXPECT_THAT(screen.writes, ElementsAre("saved\n"));
}

TEST(Progress, ResumedStepsDoNotCountForTheRate) {
  Screen screen(ProgressMode::kLines);
  screen.options.line_seconds = 1;
  Progress progress(screen.options);
  progress.begin("train", 1000, 900);
  screen.now += 10;
  progress.update(910);
  EXPECT_EQ(screen.writes.back(), "train 910/1000 (91%)  1.00 steps/s  ETA 1:30\n");
}

TEST(Progress, RateFollowsAChangeOfPace) {
  Screen screen(ProgressMode::kLines);
  screen.options.line_seconds = 1;
  Progress progress(screen.options);
  progress.begin("train", 100000);
  int step = 0;
  for (int second = 0; second < 100; ++second) screen.now += 1, progress.update(step += 100);
  for (int second = 0; second < 100; ++second) screen.now += 1, progress.update(step += 10);
  // Of the old pace e^-5 of the weight is left: 10 + 90 * 0.0067 = 10.6.
  EXPECT_THAT(screen.writes.back(), HasSubstr("10.6 steps/s"));
}

TEST(Progress, StderrOfATestIsNoTerminal) {
  testing::internal::CaptureStderr();  // a file
  setenv("TERM", "xterm", 1);
  EXPECT_EQ(progress_options_for_stderr().mode, ProgressMode::kLines);
  EXPECT_FALSE(progress_options_for_stderr().color);
  {
    Progress progress;
    progress.begin("train", 2);
    progress.update(1);
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), StartsWith("train 1/2 (50%)"));
}

}  // namespace
}  // namespace rebased
