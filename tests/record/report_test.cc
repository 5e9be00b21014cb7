#include "record/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "record/temp_folder.h"

namespace rebased {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ReportRun sample_run(const std::string& name) {
  ReportRun run;
  run.name = name;
  run.command = "rebased train r.toml --set 'a=\"<b>\"'";
  run.date = "2024-05-01 12:30 UTC";
  run.recipe = "[model]\nmixer = \"rebased\" # <&>\n";
  run.facts = {{"seed", "42"}};
  run.environment.version = "9.8.7";
  run.environment.commit = "0123456789ab";
  run.environment.cpu = "Fast CPU";
  run.metrics = {{{"step", 10}, {"time", 60.0}, {"loss", 2.5}, {"accuracy", 0.75}, {"lr", 0.1}},
                 {{"step", 20}, {"time", 125.0}, {"loss", 3.5}, {"accuracy", 0.5}, {"lr", 0.1}},
                 {{"step", 20}, {"time", 125.0}, {"test_accuracy", nullptr}}};
  run.scores = {{"test_accuracy", "", true}, {"accuracy", "", true}, {"loss", "nats"}, {"absent", ""}};
  return run;
}

Report sample(int runs) {
  Report report;
  report.title = "Recall <1>";
  for (int i = 0; i < runs; ++i) report.runs.push_back(sample_run("run-" + std::to_string(i)));
  return report;
}

int pictures(const std::string& html) {
  int found = 0;
  for (size_t at = html.find("class=\"rb\""); at != std::string::npos; at = html.find("class=\"rb\"", at + 1)) ++found;
  return found;
}

TEST(Report, ShowsResultsAndWhatWasRun) {
  const std::string html = report_html(sample(1));
  for (const char* text :
       {"<title>Recall &lt;1&gt;</title>", "<td>0.5000<small>best 0.7500</small></td>",
        "<td>3.500<small>best 2.500</small></td>", "<td>20</td><td>2:05</td>", "# &lt;&amp;&gt;", "&lt;b&gt;", "seed",
        "2024-05-01 12:30 UTC", "Fast CPU", "How to repeat", "# run-0: rebased 9.8.7, commit 0123456789ab"}) {
    EXPECT_THAT(html, HasSubstr(text));
  }
}

TEST(Report, NeedsNeitherNetworkNorScripts) {
  const std::string html = report_html(sample(2));
  for (const char* text : {"<script", "<link", "<img", "src=", "@import", "url(", "href="}) {
    EXPECT_THAT(html, Not(HasSubstr(text)));
  }
}

TEST(Report, OneRunSharesAPictureForKindsAndRunsShareOneForKeys) {
  EXPECT_EQ(pictures(report_html(sample(1))), 3);  // accuracies, losses, lr
  EXPECT_EQ(pictures(report_html(sample(2))), 4);  // accuracy, test accuracy, loss, lr
}

TEST(Report, AMetricThatIsNeverFiniteIsADash) {
  const std::string html = report_html(sample(1));
  EXPECT_THAT(html, HasSubstr("test accuracy"));
  EXPECT_THAT(html, HasSubstr("<td>–</td>"));
}

TEST(Report, CurvesRunOverWhatIsAsked) {
  Report report = sample(1);
  report.x_key = "time";
  EXPECT_THAT(report_html(report), HasSubstr(">time (s)<"));
  report.x_key = "loss";
  EXPECT_THROW(report_html(report), ConfigError);
}

TEST(Report, TakesTablesFiguresSummaryAndCommands) {
  Report report = sample(1);
  report.summary = "All & everything";
  report.tables.push_back({"State", Table({{"mixer"}, {"bytes", Align::kRight}}).add_row({"<based>", "12"})});
  report.figures = {"<svg id=\"mine\"></svg>"};
  report.repeat = "./dev demo";
  const std::string html = report_html(report);
  for (const char* text : {"<p>All &amp; everything</p>", "<h2>State</h2>", "<td class=\"s\">&lt;based&gt;</td>",
                           "<td class=\"n\">12</td>", "<svg id=\"mine\"></svg>", "<pre>./dev demo</pre>"}) {
    EXPECT_THAT(html, HasSubstr(text));
  }
  EXPECT_THAT(html, Not(HasSubstr("# run-0")));
}

TEST(Report, WithoutRunsOrMetricsIsStillAPage) {
  EXPECT_THAT(report_html(Report{}), HasSubstr("</html>"));
  Report report = sample(1);
  report.runs[0] = {};
  const std::string html = report_html(report);
  EXPECT_EQ(pictures(html), 0);
  EXPECT_THAT(html, Not(HasSubstr("How to repeat")));
}

TEST(Report, IsWrittenToAFile) {
  TempFolder folder;
  write_report(folder / "report.html", sample(1));
  EXPECT_EQ(get_file(folder / "report.html"), report_html(sample(1)));
  EXPECT_THROW(write_report(folder / "absent/report.html", sample(1)), IoError);
}

TEST(Report, AnotherFileIsKnownFromOne) {
  TempFolder folder;
  const auto path = folder / "report.html";
  EXPECT_NO_THROW(check_report_place(path));
  write_report(path, sample(2));
  EXPECT_NO_THROW(check_report_place(path));
  for (const char* other : {"", "<!doctype html>\n<html lang=\"en\">\n<head>\n<title>mine</title>"}) {
    put_file(path, other);
    EXPECT_THROW(check_report_place(path), IoError);
  }
}

}  // namespace
}  // namespace rebased
