#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "io/file.h"

namespace rebased {

struct ProgramResult {
  int status = 0;  // exit code; 128 + the signal that ended it
  std::string out, err;
};

// Runs the built `rebased-train` in a folder of its own.
class ProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) / ("program_" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  ProgramResult program(const std::string& arguments) const {
    const std::string line = "cd '" + root_.string() + "' && OMP_WAIT_POLICY=passive '" REBASED_TRAIN_PROGRAM "' " +
                             arguments + " >.out 2>.err </dev/null";
    const int ended = std::system(line.c_str());
    return {WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended), read(".out"), read(".err")};
  }
  void write(const std::string& name, const std::string& text) const {
    write_file_atomic((root_ / name).string(), text);
  }
  std::string read(const std::string& name) const { return read_file((root_ / name).string()); }
  bool exists(const std::string& name) const { return std::filesystem::exists(root_ / name); }

  std::filesystem::path root_;
};

}  // namespace rebased
