#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "base/error.h"
#include "base/version.h"
#include "cli/command_line.h"
#include "cli/standard_streams.h"
#include "cli/verbs.h"
#include "record/environment.h"

namespace rebased {
namespace {

constexpr int kUsage = 2;

void run(int argc, char** argv) {
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
  add_convert(root);
  add_ls(root);
  add_bench(root);
  root.example("rebased ls mixers");
  root.run(argc, argv);
}

int fail(std::string message, int code) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fputs(fmt::format("rebased: {}\n", message).c_str(), stderr);
  return code;
}

}  // namespace
}  // namespace rebased

int main(int argc, char** argv) {
  using rebased::fail;
  try {
    rebased::prepare_standard_streams();
    rebased::limit_simd();
    rebased::run(argc, argv);
    return EXIT_SUCCESS;
  } catch (const rebased::OutputClosed&) {
    rebased::end_by_broken_pipe();
  } catch (const rebased::UsageError& error) {
    return fail(error.what(), rebased::kUsage);
  } catch (const rebased::ConfigError& error) {
    return fail(error.what(), rebased::kUsage);
  } catch (const std::bad_alloc&) {
    return fail("there is not enough memory for this", EXIT_FAILURE);
  } catch (const std::exception& error) {
    return fail(error.what(), EXIT_FAILURE);
  }
}
