#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "config/document.h"
#include "io/file.h"
#include "io/program.h"
#include "io/standard_streams.h"
#include "train/data_source.h"
#include "train_cli/commands.h"
#include "train_cli/grid.h"
#include "train_cli/run.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReport = "report.html";

struct SweepFlags {
  std::vector<std::string> recipes;
  std::vector<std::string> grids;
  std::vector<std::string> set;
  std::string out;
  std::string title;
};

struct PlannedRun {
  Recipe recipe;
  fs::path root;
};

// What would stop the run later and can be told now, at the price of a declared model and mapped files.
void check_buildable(const Recipe& recipe, MakeEngine make_engine) {
  make_engine(recipe);
  const SequenceModel declared(recipe.model);
  data_source(recipe.data).check_files(recipe);
}

void check_folder(const PlannedRun& run) {
  if (!RunFolder::is_run(run.root) || !RunFolder::is_begun(run.root)) return RunFolder::check_free(run.root);
  const Recipe begun = load_run_recipe(RunFolder::open(run.root));  // an earlier version named fewer options
  if (resolved_text(begun) == resolved_text(run.recipe)) return;
  throw ConfigError("{} holds a run of another recipe; choose another --out or remove it", run.root.string());
}

// Every recipe at every point, checked before the first one is trained.
std::vector<PlannedRun> plan(const SweepFlags& flags, MakeEngine make_engine) {
  check_report_place(fs::path(flags.out) / kReport);
  const std::vector<GridPoint> points = grid_points(flags.grids);
  std::set<std::string> names = {kReport};
  std::vector<PlannedRun> runs;
  for (const std::string& path : flags.recipes) {
    for (const GridPoint& point : points) {
      std::vector<std::string> assignments = flags.set;
      assignments.insert(assignments.end(), point.assignments.begin(), point.assignments.end());
      Recipe recipe = load_recipe(path, assignments);
      check_run_name(recipe.name);
      recipe.name += point.suffix;
      check_run_name(recipe.name);
      if (!names.insert(recipe.name).second) {
        throw ConfigError("{}: the name {} is taken in this sweep; give its recipe another one", path, recipe.name);
      }
      check_buildable(recipe, make_engine);
      runs.push_back({recipe, fs::path(flags.out) / recipe.name});
      check_folder(runs.back());
    }
  }
  return runs;
}

// A finished run is kept, an unfinished or failed one goes on.
RunOutcome train_planned(const PlannedRun& run, MakeEngine make_engine) {
  const std::unique_ptr<Trainer> trainer = build_trainer(run.recipe, make_engine(run.recipe));
  if (RunFolder::is_run(run.root) && RunFolder::is_begun(run.root)) {
    return train_run(run.recipe, *trainer, RunFolder::open(run.root));
  }
  const RunFolder folder = RunFolder::create(run.root);
  write_file_atomic(folder.recipe().string(), resolved_text(run.recipe));
  return train_run(run.recipe, *trainer, folder);
}

RunOutcome train_or_fail(const PlannedRun& run, MakeEngine make_engine) {
  std::string reason;
  try {
    return train_planned(run, make_engine);
  } catch (const std::exception& error) {
    reason = error_sentence(error);
  }
  log_error("{} failed: {}", run.recipe.name, reason);
  return failed_run(run.recipe, run.root, reason);
}

// Prints the tables and writes the report; false when a run failed.
bool report_on(const SweepFlags& flags, const std::vector<RunOutcome>& outcomes) {
  Report report{.title = flags.title.empty() ? fs::path(flags.out).filename().string() : flags.title};
  Table failures({{"failed run"}, {"reason"}});
  for (const RunOutcome& outcome : outcomes) {
    report.runs.push_back(outcome.report);
    if (!outcome.failure.empty()) failures.add_row({outcome.report.name, outcome.failure});
  }
  report.tables.push_back({"Size and speed", outcome_table(outcomes)});
  if (!failures.rows().empty()) report.tables.push_back({"Failed", failures});
  const fs::path file = fs::path(flags.out) / kReport;
  write_report(file, report);
  for (const ReportTable& table : report.tables) print_output("{}", table.table.text());
  print_output("report: {}\n", file.string());
  return failures.rows().empty();
}

int sweep(const SweepFlags& flags, MakeEngine make_engine) {
  const std::vector<PlannedRun> runs = plan(flags, make_engine);
  std::error_code failed;
  if (fs::create_directories(flags.out, failed); failed) {
    throw IoError("{}: cannot make the folder: {}", flags.out, failed.message());
  }
  std::vector<RunOutcome> outcomes;
  bool stopped = false;
  for (const PlannedRun& run : runs) {
    outcomes.push_back(train_or_fail(run, make_engine));
    stopped = !outcomes.back().finished && outcomes.back().failure.empty();
    if (stopped) break;
  }
  const bool good = report_on(flags, outcomes);
  if (stopped) log_warning("stopped; the same command goes on where it was");
  return good && !stopped ? 0 : 1;
}

}  // namespace

void add_sweep_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine) {
  auto flags = std::make_shared<SweepFlags>();
  CLI::App* command =
      app.add_subcommand("sweep", "Train several recipes, or one over a grid, into one table and report");
  command->add_option("RECIPES", flags->recipes, "recipes (TOML)")->required();
  command->add_option("--out", flags->out, "folder of the sweep; run again with the same, it goes on where it was")
      ->required();
  command
      ->add_option("--grid", flags->grids,
                   "values of a recipe key, as --set takes them: --grid optimizer.lr=[0.001,0.01]")
      ->take_all()
      ->expected(1);
  command->add_option("--set", flags->set, "override a recipe key in every run")->take_all()->expected(1);
  command->add_option("--title", flags->title, "title of the report; default: the folder's name");
  command->footer(
      "Example:\n  rebased sweep recipes/demo/rebased.toml --grid optimizer.lr=[0.003,0.01] --out runs/demo-lr");
  command->callback([flags, &run, make_engine] { run = [flags, make_engine] { return sweep(*flags, make_engine); }; });
}

}  // namespace rebased
