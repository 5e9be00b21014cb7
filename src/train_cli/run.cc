#include "train_cli/run.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <ctime>

#include "base/error.h"
#include "base/threads.h"
#include "config/document.h"
#include "io/file.h"
#include "record/environment.h"
#include "record/text.h"
#include "train/data_record.h"
#include "train/data_source.h"
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

// Under nohup SIGHUP is ignored, and stays so.
void stop_on_signals() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  if (std::signal(SIGHUP, on_interrupt) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

Environment environment_of(const Engine& engine) {
  Environment environment = collect_environment();
  const auto [name, version] = engine.library();
  if (!name.empty()) environment.libraries.push_back({name, version});
  return environment;
}

// Bytes of the state that a model really holds after the tokens of one example.
int64_t measured_state_bytes(Trainer& trainer) {
  const RecordingOff off(trainer.engine().autograd());
  ModelState state = trainer.model().initial_state(trainer.engine(), 1);
  const Batch row = trainer.data().batch(0).slice(0, 1);
  trainer.model().hidden(row, Context{}, &state);
  return state.bytes();
}

// The part that needs nothing but the recipe and this process.
ReportRun begun_report(const Recipe& recipe) {
  ReportRun run;
  run.name = recipe.name;
  run.command = command_line();
  run.date = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
  run.recipe = resolved_text(recipe);
  run.scores = data_source(recipe.data).scores();
  run.scores.insert(run.scores.begin() + 1, {.name = "loss", .unit = "nats"});
  return run;
}

ReportRun report_of(const Recipe& recipe, const RunFolder& folder, Trainer& trainer, const RunOutcome& outcome,
                    const std::string& data) {
  ReportRun run = begun_report(recipe);
  run.facts = {{"data", data},
               {"seed", std::to_string(recipe.seed)},
               {"parameters", std::to_string(outcome.parameters)},
               {"state", fmt::format("{} bytes", outcome.state_bytes)},
               {"steps", fmt::format("{} of {}", outcome.steps, trainer.total_steps())}};
  run.facts.insert(run.facts.end(), outcome.models.begin(), outcome.models.end());
  for (const Baseline& baseline : outcome.baselines) {
    run.facts.push_back({baseline.name, fmt::format("{:.4f} {}", baseline.value, readable(outcome.best.name))});
  }
  run.environment = environment_of(trainer.engine());
  run.metrics = read_metrics(folder.metrics());
  return run;
}

// Whatever made the run fail may have spoiled its records too.
std::vector<Json> metrics_left(const std::filesystem::path& root) {
  try {
    return read_metrics(RunFolder::open(root).metrics());
  } catch (const Error&) {
    return {};
  }
}

// What the models that a run leaves are of.
std::vector<std::pair<std::string, std::string>> models_of(const RunFolder& folder, const Evaluation& best) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const std::filesystem::path& path : {folder.model(), folder.last()}) {
    if (const auto saved = saved_evaluation(path)) {
      rows.emplace_back(path.filename().string(), describe(*saved) + (saved->step == best.step ? ", the best" : ""));
    }
  }
  return rows;
}

RunOutcome outcome_of(const Recipe& recipe, const RunFolder& folder, Trainer& trainer, bool finished) {
  RunOutcome outcome;
  outcome.finished = finished;
  outcome.best = trainer.best().score;
  if (finished) outcome.models = models_of(folder, trainer.best());
  outcome.steps = trainer.state().step;
  outcome.parameters = trainer.model().parameters().trainable_count();
  outcome.state_bytes = measured_state_bytes(trainer);
  outcome.seconds = trainer.state().seconds;
  outcome.examples_per_second = static_cast<double>(outcome.steps) * static_cast<double>(recipe.train.batch_size) /
                                std::max(trainer.state().seconds, 1e-9);
  return outcome;
}

}  // namespace

void remember_command_line(int argc, char** argv) {
  g_command_line = "rebased";
  for (int i = 1; i < argc; ++i) g_command_line += std::string(" ") + argv[i];
}

const std::string& command_line() { return g_command_line; }

std::unique_ptr<Trainer> build_trainer(const Recipe& recipe, std::unique_ptr<Engine> engine) {
  return std::make_unique<Trainer>(recipe, std::move(engine), std::nullopt, g_stop);
}

std::string resolved_text(const Recipe& recipe) { return to_toml(options_to_json(recipe)); }

RunOutcome train_run(const Recipe& recipe, Trainer& trainer, const RunFolder& folder) {
  stop_on_signals();
  folder.remove_leftovers();
  record_or_compare_data(folder, trainer.data());
  write_file_atomic(folder.environment().string(), json_text(options_to_json(environment_of(trainer.engine())), 2));
  trainer.enter(folder);
  Progress progress;
  const std::string data = trainer.data().summary();
  trainer.say(progress, fmt::format("{}: {}", recipe.name, data));
  trainer.say(progress,
              fmt::format("{} parameters, {} steps, {} threads, in {}", trainer.model().parameters().trainable_count(),
                          trainer.total_steps(), thread_count(), folder.root().string()));
  const std::vector<Baseline> baselines = trainer.data().baselines();
  for (const auto& [name, value] : baselines) {
    trainer.say(progress, fmt::format("{}: {:.4f} {}, to be beaten", name, value, readable(trainer.best().score.name)));
  }
  if (const int64_t step = trainer.resume(); trainer.state().finished) {
    trainer.say(progress, fmt::format("finished after step {}: left as it is, more steps need a new run", step));
  } else if (step > 0) {
    trainer.say(progress, fmt::format("going on after step {}", step));
  }
  const bool finished = trainer.run(progress) == TrainEnd::kFinished;
  RunOutcome outcome = outcome_of(recipe, folder, trainer, finished);
  outcome.baselines = baselines;
  outcome.report = report_of(recipe, folder, trainer, outcome, data);
  return outcome;
}

RunOutcome failed_run(const Recipe& recipe, const std::filesystem::path& root, const std::string& reason) {
  RunOutcome outcome{
      .failure = reason, .best = data_source(recipe.data).scores().front(), .report = begun_report(recipe)};
  outcome.report.facts = {{"failed", reason}, {"seed", std::to_string(recipe.seed)}};
  outcome.report.environment = collect_environment();
  outcome.report.metrics = metrics_left(root);
  return outcome;
}

Table outcome_table(const std::vector<RunOutcome>& outcomes) {
  const bool alike = std::all_of(outcomes.begin(), outcomes.end(), [&](const RunOutcome& outcome) {
    return outcome.best.name == outcomes.front().best.name;
  });
  Table table({{"run", Align::kLeft},
               {alike && !outcomes.empty() ? readable(outcomes.front().best.name) : "score", Align::kRight},
               {"parameters", Align::kRight},
               {"state bytes", Align::kRight},
               {"steps", Align::kRight},
               {"examples/s", Align::kRight},
               {"time", Align::kRight}});
  for (const RunOutcome& outcome : outcomes) {
    if (!outcome.failure.empty()) {
      table.add_row({outcome.report.name, "failed", "–", "–", "–", "–", "–"});
      continue;
    }
    std::string score = outcome.finished ? fmt::format("{:.4f}", outcome.best.value) : "stopped";
    if (outcome.finished && !alike) score = readable(outcome.best.name) + " " + score;
    table.add_row({outcome.report.name, score, std::to_string(outcome.parameters), std::to_string(outcome.state_bytes),
                   std::to_string(outcome.steps), fmt::format("{:.0f}", outcome.examples_per_second),
                   fmt::format("{:.0f} s", outcome.seconds)});
  }
  return table;
}

}  // namespace rebased
