#include <sstream>

#include "base/error.h"
#include "base/version.h"
#include "io/program.h"
#include "io/standard_streams.h"
#include "record/environment.h"
#include "train_cli/commands.h"

namespace rebased {
namespace {

// Prints the help or the version that was asked for; anything else is an error.
int end_of_parsing(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream help, ignored;
  if (app.exit(error, help, ignored) != 0) {
    const auto verbs = app.get_subcommands();
    const std::string verb = verbs.empty() ? "" : " " + verbs.front()->get_name();
    throw UsageError("{}; see {}{} --help", error.what(), app.get_name(), verb);
  }
  write_output(help.str());
  return EXIT_SUCCESS;
}

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
  } catch (const CLI::ParseError& error) {
    return end_of_parsing(app, error);
  }
  return chosen();
}

}  // namespace

void add_count(CLI::App& command, const std::string& flag, int64_t& count, int64_t most, const std::string& help) {
  auto take = [&count, most, flag](const std::string& text) {
    count = number_from_text<int64_t>(text, flag, between(1, most));
  };
  command.add_option_function<std::string>(flag, take, help)->default_str(std::to_string(count));
}

int run_trainer(const char* name, int argc, char** argv, MakeEngine make_engine) {
  remember_command_line(argc, argv);
  return run_program([&] {
    limit_simd();
    return run(name, argc, argv, make_engine);
  });
}

}  // namespace rebased
