#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "io/file.h"
#include "io/temporary_folder.h"
#include "runtime/tiny_model.h"

namespace rebased {

struct CommandResult {
  int status = 0;  // exit code; 128 + the signal that ended it
  std::string out;
  std::string err;
};

// Runs the built `rebased` in an empty folder.
class CommandTest : public testing::Test {
 protected:
  // Shell text in which "rebased" is the built command.
  CommandResult shell(const std::string& text) const {
    const std::string out = folder_ / ".out", err = folder_ / ".err";
    const std::string script = "cd '" + folder_.path() + "' && rebased() { '" REBASED_COMMAND "' \"$@\"; }\n" + text;
    write_file_atomic(folder_ / ".script", script);
    const int ended =
        std::system(("bash '" + folder_ / ".script" + "' >'" + out + "' 2>'" + err + "' </dev/null").c_str());
    CommandResult result{WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended), read_file(out), read_file(err)};
    for (const char* name : {"/.out", "/.err", "/.script"}) std::filesystem::remove(folder_.path() + name);
    return result;
  }
  CommandResult rebased(const std::string& arguments) const { return shell("rebased " + arguments); }

  // Refused with `code` and one line on stderr that contains `part`; nothing on stdout.
  void expect_refused(const std::string& arguments, int code, const std::string& part) const {
    const CommandResult result = rebased(arguments);
    EXPECT_EQ(result.status, code) << arguments;
    EXPECT_EQ(result.out, "") << arguments;
    EXPECT_THAT(result.err, testing::StartsWith("rebased: ")) << arguments;
    EXPECT_THAT(result.err, testing::HasSubstr(part)) << arguments;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  void write(const std::string& name, const std::string& text) const { write_file_atomic(folder_ / name, text); }

  // A byte model in the folder "model" that always answers `answer`; negative: untrained.
  void make_model(int32_t answer = -1, int64_t max_tokens = 0, const std::string& name = "model",
                  bool with_tokenizer = true) const {
    CpuEngine engine;
    ModelConfig config = tiny_config();
    config.max_tokens = max_tokens;
    const auto model = tiny_model(engine, config);
    if (answer >= 0) answer_always(*model, engine, answer, 100);
    save_model(*model, engine, folder_ / name, with_tokenizer);
  }

  TemporaryFolder folder_;
};

}  // namespace rebased
