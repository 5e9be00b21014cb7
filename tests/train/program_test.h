#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "io/file.h"
#include "io/temporary_folder.h"

namespace rebased {

struct ProgramResult {
  int status = 0;  // exit code; 128 + the signal that ended it
  std::string out, err;
};

// Runs the built `rebased-train` in a folder of its own.
class ProgramTest : public ::testing::Test {
 protected:
  // Shell text in which "train" is the program, and "$program" its path for what must be its own process.
  ProgramResult shell(const std::string& text) const {
    const TemporaryFolder written;
    write_file_atomic(
        written / "script",
        "cd '" + folder_.path() + "'; program='" REBASED_TRAIN_PROGRAM "'; train() { \"$program\" \"$@\"; }\n" + text);
    const int ended = std::system(
        ("bash '" + written / "script" + "' >'" + written / "out" + "' 2>'" + written / "err" + "' </dev/null")
            .c_str());
    return {WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended), read_file(written / "out"),
            read_file(written / "err")};
  }
  ProgramResult program(const std::string& arguments) const { return shell("train " + arguments); }
  void write(const std::string& name, const std::string& text) const { write_file_atomic(folder_ / name, text); }
  std::string read(const std::string& name) const { return read_file(folder_ / name); }
  bool exists(const std::string& name) const { return std::filesystem::exists(folder_ / name); }

  TemporaryFolder folder_;
};

}  // namespace rebased
