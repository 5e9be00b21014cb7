#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "record/environment.h"
#include "record/score.h"
#include "record/table.h"

namespace rebased {

struct ReportRun {
  std::string name;     // shown in tables and beside curves
  std::string command;  // that started it
  std::string date;     // "2024-05-01 12:30 UTC"
  std::string recipe;   // resolved, as TOML
  std::vector<std::pair<std::string, std::string>>
      facts;  // further rows on the run: {"seed", "42"}, {"parameters", "1.2M"}
  Environment environment;
  std::vector<nlohmann::ordered_json> metrics;  // as read_metrics() gives them
  std::vector<Score> scores;                    // keys of metrics that say how good it is, in the order of the columns
};

struct ReportTable {
  std::string title;
  Table table;
};

struct Report {
  std::string title{};
  std::string summary{};  // a paragraph below the title; may be empty
  std::vector<ReportRun> runs{};
  std::string x_key = "step";          // what the curves run over: "step", "epoch" or "time"
  std::vector<ReportTable> tables{};   // further results, below the curves
  std::vector<std::string> figures{};  // further pictures: SVG of plot.h, put in as it is
  std::string repeat{};                // commands that give the report again; empty: the runs' own commands
};

// One HTML file that needs neither network nor scripts, for screen, phone and print, light and dark: results, curves of
// every metric (scores first), tables, figures, how to repeat it, and what was run on
// what. All text is escaped but `figures`. Throws ConfigError when x_key is none of the three.
std::string report_html(const Report& report);

// report_html in a file that is replaced at once. Also throws IoError.
void write_report(const std::filesystem::path& path, const Report& report);

// Throws IoError when the file exists and is not a report, for places that need not be the program's own.
void check_report_place(const std::filesystem::path& path);

}  // namespace rebased
