#include "record/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/file.h"
#include "record/metrics.h"
#include "record/plot.h"
#include "record/report_style.h"
#include "record/text.h"

namespace rebased {
namespace {

bool has_number(const std::vector<ReportRun>& runs, const std::string& key) {
  return std::any_of(runs.begin(), runs.end(),
                     [&](const ReportRun& run) { return !metric_points(run.metrics, "step", key).x.empty(); });
}

// The scores of any run that were measured.
std::vector<Score> measured_scores(const std::vector<ReportRun>& runs) {
  std::vector<Score> scores;
  for (const ReportRun& run : runs) {
    for (const Score& score : run.scores) {
      const auto is_known = [&](const Score& other) { return other.name == score.name; };
      if (std::none_of(scores.begin(), scores.end(), is_known) && has_number(runs, score.name)) scores.push_back(score);
    }
  }
  return scores;
}

// Keys of numbers in any run that are no scores, in the order of their first appearance.
std::vector<std::string> other_keys(const std::vector<ReportRun>& runs, const std::vector<Score>& scores) {
  std::vector<std::string> known = {"step", "epoch", "time"}, keys;
  for (const Score& score : scores) known.push_back(score.name);
  for (const ReportRun& run : runs) {
    for (const nlohmann::ordered_json& record : run.metrics) {
      for (const auto& [key, value] : record.items()) {
        if (!value.is_number() && !value.is_null()) continue;
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        known.push_back(key);
        keys.push_back(key);
      }
    }
  }
  return keys;
}

std::string axis_label(const std::string& x_key) { return x_key == "time" ? "time (s)" : x_key; }

std::string number_cell(double value) { return std::isfinite(value) ? format_value(value) : "–"; }

// Last and best value of a score: "0.9912" and below it "best 0.9934".
std::string result_cell(const ReportRun& run, const Score& score) {
  const MetricPoints points = metric_points(run.metrics, "step", score.name);
  if (points.y.empty()) return "–";
  std::string cell = number_cell(points.y.back());
  double best = std::nan("");
  for (double y : points.y) best = score.higher_is_better ? std::fmax(best, y) : std::fmin(best, y);
  if (number_cell(best) != cell) cell += fmt::format("<small>best {}</small>", number_cell(best));
  return cell;
}

// Row of the summary: cells are HTML.
std::string summary_row(const ReportRun& run, const std::vector<Score>& scores) {
  std::string html = fmt::format("<tr><th scope=\"row\">{}</th>", escape_xml(run.name));
  for (const Score& score : scores) html += fmt::format("<td>{}</td>", result_cell(run, score));
  const MetricPoints times = metric_points(run.metrics, "step", "time");
  html += fmt::format("<td>{}</td><td>{}</td>", times.x.empty() ? "–" : fmt::format("{:.0f}", times.x.back()),
                      times.y.empty() ? "–" : format_duration(times.y.back()));
  return html + "</tr>\n";
}

std::string summary_table(const Report& report, const std::vector<Score>& scores) {
  std::string html = "<div class=\"wide\"><table><thead><tr><th>run</th>";
  for (const Score& score : scores) {
    html += fmt::format("<th class=\"n\">{}</th>", escape_xml(readable(score.name)));
  }
  html += "<th class=\"n\">steps</th><th class=\"n\">time</th></tr></thead><tbody>\n";
  for (const ReportRun& run : report.runs) html += summary_row(run, scores);
  return html + "</tbody></table></div>\n";
}

// A picture of the metrics `keys`; the shortest of their names is what they have in common.
std::string curve(const Report& report, const std::vector<std::string>& keys, const std::string& unit) {
  LineChart chart;
  chart.title = readable(*std::min_element(
      keys.begin(), keys.end(), [](const std::string& a, const std::string& b) { return a.size() < b.size(); }));
  chart.x.label = axis_label(report.x_key);
  chart.y.label = unit;
  chart.width = 440;  // close to a phone's width, so that the text stays legible there
  chart.height = 290;
  for (const ReportRun& run : report.runs) {
    for (const std::string& key : keys) {
      MetricPoints points = metric_points(run.metrics, report.x_key, key);
      std::string name = keys.size() > 1 ? readable(key) : report.runs.size() > 1 ? run.name : "";
      chart.series.push_back({std::move(name), std::move(points.x), std::move(points.y), {}, {}});
    }
  }
  return "<figure>" + line_chart_svg(chart) + "</figure>\n";
}

// A single run shows its scores of one unit in one picture; several runs share a picture for each key.
std::string curves(const Report& report, std::vector<Score> scores, const std::vector<std::string>& others) {
  std::string html = "<div class=\"grid\">\n";
  while (!scores.empty()) {
    const Score first = scores.front();
    std::vector<std::string> shown;
    std::erase_if(scores, [&](const Score& score) {
      if (report.runs.size() > 1 ? !shown.empty() : score.unit != first.unit) return false;
      shown.push_back(score.name);
      return true;
    });
    html += curve(report, shown, first.unit);
  }
  for (const std::string& key : others) html += curve(report, {key}, "");
  return html + "</div>\n";
}

std::string html_table(const Table& table) {
  std::string html = "<div class=\"wide\"><table><thead><tr>";
  const auto css = [&](size_t i) {
    return table.columns()[i].align == Align::kRight ? " class=\"n\"" : " class=\"s\"";
  };
  for (size_t i = 0; i < table.columns().size(); ++i) {
    html += fmt::format("<th{}>{}</th>", css(i), escape_xml(table.columns()[i].title));
  }
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows()) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) html += fmt::format("<td{}>{}</td>", css(i), escape_xml(row[i]));
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string repeat_block(const Report& report) {
  std::string commands = report.repeat;
  if (commands.empty()) {
    for (const ReportRun& run : report.runs) {
      const Environment& environment = run.environment;
      if (!environment.version.empty()) {
        commands += fmt::format("# {}: rebased {}, commit {}\n", run.name, environment.version,
                                environment.commit.empty() ? "unknown" : environment.commit);
      }
      if (!run.command.empty()) commands += run.command + "\n";
    }
  }
  if (commands.empty()) return "";
  return fmt::format("<h2>How to repeat</h2>\n<pre>{}</pre>\n", escape_xml(commands));
}

std::string run_details(const ReportRun& run, bool open) {
  std::vector<std::pair<std::string, std::string>> rows;
  if (!run.command.empty()) rows.emplace_back("command", run.command);
  if (!run.date.empty()) rows.emplace_back("date", run.date);
  rows.insert(rows.end(), run.facts.begin(), run.facts.end());
  for (auto& row : environment_rows(run.environment)) rows.push_back(std::move(row));
  std::string html = fmt::format("<details{}><summary>{}</summary>\n<dl>\n", open ? " open" : "", escape_xml(run.name));
  for (const auto& [name, value] : rows) {
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_xml(name), escape_xml(value));
  }
  html += "</dl>\n";
  if (!run.recipe.empty()) html += fmt::format("<h3>Recipe</h3>\n<pre>{}</pre>\n", escape_xml(run.recipe));
  return html + "</details>\n";
}

std::string body(const Report& report) {
  std::string html = fmt::format("<h1>{}</h1>\n", escape_xml(report.title));
  if (!report.summary.empty()) html += fmt::format("<p>{}</p>\n", escape_xml(report.summary));
  const std::vector<Score> scores = measured_scores(report.runs);
  const std::vector<std::string> others = other_keys(report.runs, scores);
  if (!report.runs.empty()) html += "<h2>Results</h2>\n" + summary_table(report, scores);
  if (!scores.empty() || !others.empty()) html += "<h2>Curves</h2>\n" + curves(report, scores, others);
  for (const ReportTable& table : report.tables) {
    html += fmt::format("<h2>{}</h2>\n", escape_xml(table.title)) + html_table(table.table);
  }
  if (!report.figures.empty()) html += "<h2>Figures</h2>\n";
  for (const std::string& figure : report.figures) html += "<figure class=\"full\">" + figure + "</figure>\n";
  if (!report.runs.empty()) html += "<h2>What was run</h2>\n";
  for (const ReportRun& run : report.runs) html += run_details(run, report.runs.size() == 1);
  return html + repeat_block(report);
}

// How every report begins, which is how one is known.
constexpr std::string_view kHead =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";

}  // namespace

std::string report_html(const Report& report) {
  if (report.x_key != "step" && report.x_key != "epoch" && report.x_key != "time") {
    throw ConfigError("report: curves run over step, epoch or time, found \"{}\"", report.x_key);
  }
  return fmt::format("{}{}</title>\n<style>\n{}</style>\n</head>\n<body>\n{}</body>\n</html>\n", kHead,
                     escape_xml(report.title), kReportStyle, body(report));
}

void check_report_place(const std::filesystem::path& path) {
  if (std::filesystem::exists(path) && !read_file(path.string()).starts_with(kHead)) {
    throw IoError("{}: exists and is not a report of this program, so it is not replaced", path.string());
  }
}

void write_report(const std::filesystem::path& path, const Report& report) {
  write_file_atomic(path.string(), report_html(report));
}

}  // namespace rebased
