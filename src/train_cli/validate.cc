#include <fmt/format.h>

#include <algorithm>

#include "base/threads.h"
#include "bench/report.h"
#include "config/limits.h"
#include "io/standard_streams.h"
#include "train_cli/commands.h"
#include "train_cli/run.h"

namespace rebased {
namespace {

struct ValidateFlags {
  std::string path;
  std::vector<std::string> set;
  int64_t steps = 3;
  bool json = false;
};

struct StepTimes {
  double median = 0;  // seconds
  double spread = 0;  // (slowest - fastest) / median
  double loss = 0;    // of the last step
};

// Whole training steps, batch and update included, after one that warms up. Throws NotFiniteError when they diverge.
StepTimes time_steps(Trainer& trainer, int64_t steps) {
  StepTimes result;
  std::vector<double> times;
  for (int64_t i = 0; i <= steps; ++i) {
    const double seconds = seconds_of([&] { result.loss = trainer.step(i).loss; });
    if (i > 0) times.push_back(seconds);
  }
  trainer.require_finite(steps + 1);
  std::sort(times.begin(), times.end());
  result.median = times[times.size() / 2];
  result.spread = (times.back() - times.front()) / result.median;
  return result;
}

void print_for_people(const ValidateFlags& flags, const Recipe& recipe, Trainer& trainer, const StepTimes& times) {
  const int64_t tokens = trainer.data().batch(0).tokens();
  print_output("recipe      {} is valid\n", flags.path);
  print_output("data        {}\n", trainer.data().summary());
  print_output("parameters  {}\n", trainer.model().parameters().trainable_count());
  print_output("state       {} bytes after {} tokens\n", trainer.model().state_bytes(1, tokens), tokens);
  print_output("steps       {} of {:.0f} ms: about {:.0f} min with {} threads, less if it stops early\n",
               trainer.total_steps(), 1000 * times.median,
               static_cast<double>(trainer.total_steps()) * times.median / 60, thread_count());
  print_output("memory      {:.0f} MB at {} rows a pass\n", peak_megabytes(), micro_batch_rows(recipe, tokens));
}

int validate(const ValidateFlags& flags, MakeEngine make_engine) {
  const Recipe recipe = load_recipe(flags.path, flags.set);
  const std::atomic<bool> stop{false};
  Trainer trainer(recipe, make_engine(recipe), std::nullopt, stop);
  const StepTimes times = time_steps(trainer, flags.steps);
  if (!flags.json) {
    print_for_people(flags, recipe, trainer, times);
    return 0;
  }
  const Json line{{"step_ms_median", 1000 * times.median},
                  {"spread", times.spread},
                  {"peak_rss_mb", peak_megabytes()},
                  {"loss", times.loss},
                  {"parameters", trainer.model().parameters().trainable_count()},
                  {"threads", thread_count()}};
  print_output("{}\n", json_text(line));
  return 0;
}

}  // namespace

void add_validate_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine) {
  auto flags = std::make_shared<ValidateFlags>();
  CLI::App* command = app.add_subcommand(
      "validate", "Check a recipe: build everything, time a few steps, estimate the time and memory of the whole");
  command->add_option("RECIPE", flags->path, "a recipe (TOML)")->required();
  command->add_option("--set", flags->set, "override a recipe key")->take_all()->expected(1);
  add_count(*command, "--steps", flags->steps, kMostRounds, "steps to time after the first one");
  command->add_flag("--json", flags->json, "one line of JSON instead, as bench/peers/run.py reads it");
  command->footer("Example:\n  rebased validate recipes/demo/rebased.toml");
  command->callback(
      [flags, &run, make_engine] { run = [flags, make_engine] { return validate(*flags, make_engine); }; });
}

}  // namespace rebased
