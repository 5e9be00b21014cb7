#include <malloc.h>

#include <cstdio>

#include "base/error.h"
#include "base/version.h"
#include "record/environment.h"
#include "train_cli/commands.h"

namespace rebased {
namespace {

// Activations of tens of megabytes come and go every step: kept by the process instead of being returned to the system,
// they cost no page faults.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

int run(int argc, char** argv) {
  CLI::App app{
      "Trains language models from recipes. `rebased train`, `sweep`, `validate` and `bench train` run this program.",
      "rebased-train"};
  app.set_version_flag("--version", fmt::format("rebased-train {} ({})", version(), git_commit()));
  app.require_subcommand(1);
  std::function<int()> chosen;
  add_train_command(app, chosen);
  add_sweep_command(app, chosen);
  add_validate_command(app, chosen);
  add_bench_command(app, chosen);
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
}  // namespace rebased

int main(int argc, char** argv) {
  rebased::keep_freed_memory();
  rebased::remember_command_line(argc, argv);
  try {
    rebased::limit_simd();
    return rebased::run(argc, argv);
  } catch (const rebased::UsageError& e) {
    return rebased::fail(e.what(), 2);
  } catch (const rebased::ConfigError& e) {
    return rebased::fail(e.what(), 2);
  } catch (const std::exception& e) {
    return rebased::fail(e.what(), 1);
  }
}
