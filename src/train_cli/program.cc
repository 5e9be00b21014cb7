#include <cstdio>

#include "base/error.h"
#include "base/version.h"
#include "record/environment.h"
#include "train_cli/commands.h"

namespace rebased {
namespace {

int run(const char* name, int argc, char** argv, MakeEngine make_engine) {
  CLI::App app{
      "Trains language models from recipes. `rebased train`, `sweep`, `validate` and `bench train` run this program.",
      name};
  app.set_version_flag("--version", fmt::format("{} {} ({})", name, version(), git_commit()));
  app.require_subcommand(1);
  std::function<int()> chosen;
  add_train_command(app, chosen, make_engine);
  add_sweep_command(app, chosen, make_engine);
  add_validate_command(app, chosen, make_engine);
  add_bench_command(app, chosen, make_engine);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return chosen();
}

int fail(const char* message, int code) {
  std::fprintf(stderr, "rebased: %s\n", message);
  return code;
}

}  // namespace

int run_trainer(const char* name, int argc, char** argv, MakeEngine make_engine) {
  remember_command_line(argc, argv);
  try {
    limit_simd();
    return run(name, argc, argv, make_engine);
  } catch (const UsageError& e) {
    return fail(e.what(), 2);
  } catch (const ConfigError& e) {
    return fail(e.what(), 2);
  } catch (const std::exception& e) {
    return fail(e.what(), 1);
  }
}

}  // namespace rebased
