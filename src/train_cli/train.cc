#include <fmt/format.h>

#include <algorithm>
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

struct TrainFlags {
  std::string target;
  std::string out;
  std::vector<std::string> set;
  bool resume = false;
};

RunFolder folder_for(const TrainFlags& flags, const Recipe& recipe) {
  return flags.out.empty() ? RunFolder::create_next("runs", recipe.name) : RunFolder::create(flags.out);
}

// Runs, reports, and says where everything is. Exit code 0 when finished, 1 when interrupted.
int run_and_report(const Recipe& recipe, Trainer& trainer, const RunFolder& folder) {
  const RunOutcome outcome = train_run(recipe, trainer, folder);
  if (!outcome.finished) {
    log_warning("stopped after step {}; go on with: rebased train {} --resume", outcome.steps, folder.root().string());
    return 1;
  }
  write_report(folder.report(), {.title = recipe.name, .summary = recipe.description, .runs = {outcome.report}});
  print_output("{}", outcome_table({outcome}).text());
  for (const auto& [name, of] : outcome.models) print_output("{}/ is of {}\n", name, of);
  print_output("model: {}\nreport: {}\n", folder.model().string(), folder.report().string());
  return 0;
}

// Throws unless what stands beside --out is the run itself or its recipe.
void check_named_recipe(const std::string& target, const RunFolder& folder, const Recipe& own) {
  std::error_code unknown;
  if (fs::equivalent(target, folder.root(), unknown)) return;
  if (fs::is_directory(target)) throw UsageError("{} and --out {} are two folders", target, folder.root().string());
  const Json named = options_to_json(load_recipe(target, {})), wanted = options_to_json(own);
  if (named == wanted) return;
  auto key = Json::diff(wanted, named).front()["path"].get<std::string>().substr(1);
  std::replace(key.begin(), key.end(), '/', '.');
  throw ConfigError("{}: {} is not as in the run's own recipe {}, which --resume goes on with", target, key,
                    folder.recipe().string());
}

int resume_run(const TrainFlags& flags, MakeEngine make_engine) {
  const std::string root = flags.out.empty() ? flags.target : flags.out;
  if (!flags.set.empty()) throw UsageError("--set cannot take effect with --resume: a run goes on with its own recipe");
  const RunFolder folder = RunFolder::open(root);
  const Recipe recipe = load_run_recipe(folder);
  check_named_recipe(flags.target, folder, recipe);
  return run_and_report(recipe, *build_trainer(recipe, make_engine(recipe)), folder);
}

int train(const TrainFlags& flags, MakeEngine make_engine) {
  if (flags.resume) return resume_run(flags, make_engine);
  if (fs::is_directory(flags.target)) {
    throw UsageError("{} is a folder; to go on with the run in it, add --resume", flags.target);
  }
  const Recipe recipe = load_recipe(flags.target, flags.set);
  if (!flags.out.empty()) RunFolder::check_free(flags.out);  // before the time that data may take
  const std::unique_ptr<Trainer> trainer = build_trainer(recipe, make_engine(recipe));
  const RunFolder folder = folder_for(flags, recipe);
  write_file_atomic(folder.recipe().string(), resolved_text(recipe));
  return run_and_report(recipe, *trainer, folder);
}

}  // namespace

void add_train_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = app.add_subcommand("train", "Train a model from a recipe");
  command->add_option("RECIPE", flags->target, "a recipe (TOML), or a run folder with --resume")->required();
  command->add_option("--out", flags->out, "run folder; default: runs/NAME-001, -002, ...");
  command->add_option("--set", flags->set, "override a recipe key: --set optimizer.lr=0.003")->take_all()->expected(1);
  command->add_flag("--resume", flags->resume,
                    "go on with the run from its newest checkpoint, to the same final weights");
  command->footer(
      "RUN/model is the model of the best evaluation by the data's own score, RUN/last that of the last one.\n"
      "Ctrl-C saves and says how to go on.\n\nExample:\n  rebased train recipes/demo/rebased.toml --set "
      "optimizer.lr=0.003");
  command->callback([flags, &run, make_engine] { run = [flags, make_engine] { return train(*flags, make_engine); }; });
}

}  // namespace rebased
