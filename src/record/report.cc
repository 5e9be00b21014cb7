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

// "test_accuracy" and "accuracy" are accuracies.
bool measures(std::string_view key, std::string_view what) { return key.find(what) != std::string_view::npos; }

int rank(std::string_view key) { return measures(key, "accuracy") ? 0 : measures(key, "loss") ? 1 : 2; }

// Keys of numbers in any run, in the order of their first appearance within a rank.
std::vector<std::string> metric_keys(const std::vector<ReportRun>& runs) {
  std::vector<std::string> keys;
  for (const ReportRun& run : runs) {
    for (const nlohmann::ordered_json& record : run.metrics) {
      for (const auto& [key, value] : record.items()) {
        const bool axis = key == "step" || key == "epoch" || key == "time";
        const bool number = value.is_number() || value.is_null();
        if (!axis && number && std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
      }
    }
  }
  std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return keys;
}

std::string readable(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  return key;
}

std::string axis_label(const std::string& x_key) { return x_key == "time" ? "time (s)" : x_key; }

std::string number_cell(double value) { return std::isfinite(value) ? format_value(value) : "–"; }

// Last and best value of a metric: "0.9912" and below it "best 0.9934". Only accuracies and losses have a best.
std::string result_cell(const ReportRun& run, const std::string& key) {
  const MetricPoints points = metric_points(run.metrics, "step", key);
  if (points.y.empty()) return "–";
  std::string cell = number_cell(points.y.back());
  double best = std::nan("");
  for (double y : points.y) best = rank(key) == 0 ? std::fmax(best, y) : std::fmin(best, y);
  if (rank(key) < 2 && number_cell(best) != cell) cell += fmt::format("<small>best {}</small>", number_cell(best));
  return cell;
}

// Row of the summary: cells are HTML.
std::string summary_row(const ReportRun& run, const std::vector<std::string>& keys) {
  std::string html = fmt::format("<tr><th scope=\"row\">{}</th>", escape_xml(run.name));
  for (const std::string& key : keys) html += fmt::format("<td>{}</td>", result_cell(run, key));
  const MetricPoints times = metric_points(run.metrics, "step", "time");
  html += fmt::format("<td>{}</td><td>{}</td>", times.x.empty() ? "–" : fmt::format("{:.0f}", times.x.back()),
                      times.y.empty() ? "–" : format_duration(times.y.back()));
  return html + "</tr>\n";
}

std::string summary_table(const Report& report, std::vector<std::string> keys) {
  std::erase_if(keys, [](const std::string& key) { return rank(key) == 2; });
  std::string html = "<div class=\"wide\"><table><thead><tr><th>run</th>";
  for (const std::string& key : keys) html += fmt::format("<th class=\"n\">{}</th>", escape_xml(readable(key)));
  html += "<th class=\"n\">steps</th><th class=\"n\">time</th></tr></thead><tbody>\n";
  for (const ReportRun& run : report.runs) html += summary_row(run, keys);
  return html + "</tbody></table></div>\n";
}

std::string curve(const Report& report, const std::string& title, const std::vector<std::string>& keys) {
  LineChart chart;
  chart.title = readable(title);
  chart.x.label = axis_label(report.x_key);
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

// A single run shows its accuracies in one picture and its losses in another; several runs share a picture for each
// key.
std::string curves(const Report& report, const std::vector<std::string>& keys) {
  std::string html = "<div class=\"grid\">\n";
  for (size_t i = 0; i < keys.size();) {
    size_t end = i + 1;
    if (report.runs.size() == 1 && rank(keys[i]) < 2) {
      while (end < keys.size() && rank(keys[end]) == rank(keys[i])) ++end;
    }
    const std::vector<std::string> shown(keys.begin() + static_cast<ptrdiff_t>(i),
                                         keys.begin() + static_cast<ptrdiff_t>(end));
    html += curve(report, end - i == 1 ? keys[i] : rank(keys[i]) == 0 ? "accuracy" : "loss", shown);
    i = end;
  }
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
  const std::vector<std::string> keys = metric_keys(report.runs);
  if (!report.runs.empty()) html += "<h2>Results</h2>\n" + summary_table(report, keys);
  if (!keys.empty()) html += "<h2>Curves</h2>\n" + curves(report, keys);
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
