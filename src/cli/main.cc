#include <cstdlib>

#include "base/error.h"
#include "base/version.h"
#include "cli/command_line.h"
#include "cli/verbs.h"
#include "io/program.h"
#include "io/standard_streams.h"
#include "record/environment.h"

namespace rebased {
namespace {

int run(int argc, char** argv) {
  CommandLine root("rebased", "Trains, measures and runs language models whose cost grows linearly with context.");
  bool version_wanted = false;
  root.add("--version", version_wanted, "", "print version and commit");
  root.action([&version_wanted] {
    if (!version_wanted) throw UsageError("no verb was given; see rebased --help");
    write_output(fmt::format("rebased {} (commit {})\n", version(), git_commit()));
  });
  add_train(root);
  add_prepare(root);
  add_eval(root);
  add_generate(root);
  add_state(root);
  add_convert(root);
  add_ls(root);
  add_bench(root);
  root.example("rebased ls mixers");
  return root.run(argc, argv);
}

}  // namespace
}  // namespace rebased

int main(int argc, char** argv) {
  return rebased::run_program([&] {
    rebased::limit_simd();
    return rebased::run(argc, argv);
  });
}
