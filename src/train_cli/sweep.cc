#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "config/document.h"
#include "io/file.h"
#include "io/standard_streams.h"
#include "train_cli/commands.h"
#include "train_cli/run.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

struct SweepFlags {
  std::vector<std::string> recipes;
  std::vector<std::string> grids;
  std::vector<std::string> set;
  std::string out;
  std::string title;
};

// One point of the grid: the assignments that make it, and their values as a suffix for its name.
struct Point {
  std::vector<std::string> assignments;
  std::string suffix;
};

// "optimizer.lr=[0.001, 0.01]" times every point so far.
std::vector<Point> crossed(const std::vector<Point>& points, const std::string& grid) {
  const size_t equals = grid.find('=');
  Json document = Json::object();
  if (equals != std::string::npos) apply_set(document, "values" + grid.substr(equals));
  if (!document.contains("values") || !document["values"].is_array() || document["values"].empty()) {
    throw UsageError("--grid {}: expected KEY=[VALUE, ...]", grid);
  }
  const std::string key = grid.substr(0, equals);
  std::vector<Point> result;
  for (const Point& point : points) {
    for (const Json& value : document["values"]) {
      Point next = point;
      const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      next.assignments.push_back(key + "=" + value.dump());
      next.suffix += fmt::format("-{}-{}", key.substr(key.rfind('.') + 1), text);
      result.push_back(std::move(next));
    }
  }
  return result;
}

// A finished run of the same recipe is kept, an unfinished one goes on, anything else is refused.
RunOutcome run_point(const Recipe& recipe, const fs::path& root, MakeEngine make_engine) {
  const std::string resolved = resolved_text(recipe);
  if (RunFolder::is_run(root) && RunFolder::is_begun(root)) {
    const RunFolder folder = RunFolder::open(root);
    if (resolved_text(load_run_recipe(folder)) != resolved) {  // an earlier version named fewer options
      throw ConfigError("{} holds a run of another recipe; choose another --out or remove it", root.string());
    }
    return train_run(recipe, *build_trainer(recipe, make_engine(recipe)), folder);
  }
  const std::unique_ptr<Trainer> trainer = build_trainer(recipe, make_engine(recipe));
  const RunFolder folder = RunFolder::create(root);
  write_file_atomic(folder.recipe().string(), resolved);
  return train_run(recipe, *trainer, folder);
}

int sweep(const SweepFlags& flags, MakeEngine make_engine) {
  const fs::path file = fs::path(flags.out) / "report.html";
  check_report_place(file);
  std::vector<Point> points{Point{}};
  for (const std::string& grid : flags.grids) points = crossed(points, grid);
  std::vector<RunOutcome> outcomes;
  for (const std::string& path : flags.recipes) {
    for (const Point& point : points) {
      std::vector<std::string> assignments = flags.set;
      assignments.insert(assignments.end(), point.assignments.begin(), point.assignments.end());
      Recipe recipe = load_recipe(path, assignments);
      recipe.name += point.suffix;
      outcomes.push_back(run_point(recipe, fs::path(flags.out) / recipe.name, make_engine));
      if (!outcomes.back().finished) {
        log_warning("stopped; the same command goes on where it was");
        return 1;
      }
    }
  }
  const Table table = outcome_table(outcomes);
  Report report{.title = flags.title.empty() ? fs::path(flags.out).filename().string() : flags.title};
  for (const RunOutcome& outcome : outcomes) report.runs.push_back(outcome.report);
  report.tables.push_back({"Size and speed", table});
  write_report(file, report);
  print_output("{}report: {}\n", table.text(), file.string());
  return 0;
}

}  // namespace

void add_sweep_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine) {
  auto flags = std::make_shared<SweepFlags>();
  CLI::App* command =
      app.add_subcommand("sweep", "Train several recipes, or one over a grid, into one table and report");
  command->add_option("RECIPES", flags->recipes, "recipes (TOML)")->required();
  command->add_option("--out", flags->out, "folder of the sweep; run again with the same, it goes on where it was")
      ->required();
  command->add_option("--grid", flags->grids, "values of a recipe key: --grid optimizer.lr=[0.001,0.01]")
      ->take_all()
      ->expected(1);
  command->add_option("--set", flags->set, "override a recipe key in every run")->take_all()->expected(1);
  command->add_option("--title", flags->title, "title of the report; default: the folder's name");
  command->footer(
      "Example:\n  rebased sweep recipes/demo/rebased.toml --grid optimizer.lr=[0.003,0.01] --out runs/demo-lr");
  command->callback([flags, &run, make_engine] { run = [flags, make_engine] { return sweep(*flags, make_engine); }; });
}

}  // namespace rebased
