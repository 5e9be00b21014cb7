#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/threads.h"
#include "record/run_folder.h"
#include "train_cli/commands.h"
#include "train_cli/run.h"

namespace rebased {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t resident_bytes() {
  int64_t pages = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    long long total = 0, resident = 0;
    if (std::fscanf(file, "%lld %lld", &total, &resident) == 2) pages = resident;
    std::fclose(file);
  }
  return pages * 4096;
}

// Median of a few whole steps, after one that warms up.
double seconds_for_step(Trainer& trainer, const Recipe& recipe) {
  std::vector<double> times;
  for (int i = 0; i < 4; ++i) {
    const double begun = seconds_now();
    trainer.zero_grad();
    trainer.accumulate(trainer.data().batch(0), 0);
    trainer.update(recipe.optimizer.lr, 1);
    if (i > 0) times.push_back(seconds_now() - begun);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

int validate(const std::string& path, const std::vector<std::string>& set) {
  const Recipe recipe = load_recipe(path, set);
  apply_threads(recipe);
  const std::atomic<bool> stop{false};
  Trainer trainer(recipe, std::nullopt, stop);
  const double step = seconds_for_step(trainer, recipe);
  const int64_t tokens = recipe.data.is_text() ? recipe.data.seq_len : recipe.model.max_tokens;
  fmt::print("recipe      {} is valid\n", path);
  fmt::print("data        {}\n", trainer.data().summary());
  fmt::print("parameters  {}\n", trainer.model().parameters().trainable_count());
  fmt::print("state       {} bytes after {} tokens\n", trainer.model().state_bytes(1, tokens), tokens);
  fmt::print("steps       {} of {:.0f} ms: about {:.0f} min with {} threads, less if it stops early\n",
             trainer.total_steps(), 1000 * step, static_cast<double>(trainer.total_steps()) * step / 60,
             thread_count());
  fmt::print("memory      {:.0f} MB\n", static_cast<double>(resident_bytes()) / 1e6);
  return 0;
}

}  // namespace

void add_validate_command(CLI::App& app, std::function<int()>& run) {
  auto path = std::make_shared<std::string>();
  auto set = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      app.add_subcommand("validate", "Check a recipe: build everything, run a few steps, estimate time and memory");
  command->add_option("RECIPE", *path, "a recipe (TOML)")->required();
  command->add_option("--set", *set, "override a recipe key")->take_all()->expected(1);
  command->footer("Example:\n  rebased validate recipes/demo/rebased.toml");
  command->callback([path, set, &run] { run = [path, set] { return validate(*path, *set); }; });
}

}  // namespace rebased
