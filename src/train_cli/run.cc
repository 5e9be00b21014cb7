#include "train_cli/run.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <csignal>
#include <ctime>

#include "base/log.h"
#include "base/threads.h"
#include "config/document.h"
#include "io/file.h"
#include "record/environment.h"
#include "record/report.h"
#include "train_cli/commands.h"

namespace rebased {
namespace {

std::atomic<bool> g_stop{false};
std::string g_command_line;

// The first Ctrl-C asks for an orderly end, the second one ends at once.
extern "C" void on_interrupt(int signal) {
  if (g_stop) std::_Exit(128 + signal);
  g_stop = true;
}

Environment environment_of_run() {
  Environment environment = collect_environment();
  environment.libraries.push_back({"libtorch", TORCH_VERSION});
  return environment;
}

std::string result_line(const Trainer& trainer, const Recipe& recipe) {
  const TrainerState& state = trainer.state();
  return fmt::format("{}: best {} {:.4f} at step {}, {:.0f} s\n", recipe.name,
                     recipe.data.is_text() ? "bits per byte" : "test accuracy", state.best, state.best_step, state.seconds);
}

void write_run_report(Trainer& trainer, const Recipe& recipe, const RunFolder& folder) {
  ReportRun run;
  run.name = recipe.name;
  run.command = command_line();
  run.date = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
  run.recipe = to_toml(options_to_json(recipe));
  run.facts = {{"seed", std::to_string(recipe.seed)},
               {"parameters", std::to_string(trainer.model().parameters().trainable_count())},
               {"state after 1,000 tokens", fmt::format("{} bytes", trainer.model().state_bytes(1, 1000))},
               {"data", trainer.data().summary()}};
  run.environment = environment_of_run();
  run.metrics = read_metrics(folder.metrics());
  write_report(folder.report(), {.title = recipe.name, .summary = recipe.description, .runs = {run}});
}

void describe(Trainer& trainer, const Recipe& recipe, Progress& progress) {
  progress.message(fmt::format("{}: {}", recipe.name, trainer.data().summary()));
  progress.message(fmt::format("{} parameters, state {} bytes after 1,000 tokens, {} steps, {} threads",
                               trainer.model().parameters().trainable_count(), trainer.model().state_bytes(1, 1000),
                               trainer.total_steps(), thread_count()));
  for (const auto& [name, value] : trainer.data().baselines()) progress.message(fmt::format("baseline {}: {:.4f}", name, value));
}

}  // namespace

void remember_command_line(int argc, char** argv) {
  g_command_line = "rebased";
  for (int i = 1; i < argc; ++i) g_command_line += std::string(" ") + argv[i];
}

const std::string& command_line() { return g_command_line; }

void apply_threads(const Recipe& recipe) {
  set_thread_count(recipe.threads > 0 ? static_cast<int>(recipe.threads) : thread_count());
  torch::set_num_threads(thread_count());
}

int train_run(const Recipe& recipe, const RunFolder& folder, bool resume) {
  apply_threads(recipe);
  g_stop = false;
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  write_file_atomic(folder.environment().string(), options_to_json(environment_of_run()).dump(2));
  Trainer trainer(recipe, folder, g_stop);
  Progress progress;
  describe(trainer, recipe, progress);
  if (resume) progress.message(fmt::format("resuming after step {}", trainer.resume()));
  if (trainer.run(progress) == TrainEnd::kInterrupted) {
    log_warning("stopped after step {}; go on with: rebased train {} --resume", trainer.state().step, folder.root().string());
    return 1;
  }
  write_run_report(trainer, recipe, folder);
  fmt::print("{}", result_line(trainer, recipe));
  fmt::print("model: {}\nreport: {}\n", (folder.root() / "model").string(), folder.report().string());
  return 0;
}

}  // namespace rebased
