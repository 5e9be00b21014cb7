#include "io/program.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <new>
#include <vector>

#include "base/error.h"
#include "io/standard_streams.h"

namespace rebased {
namespace {

struct Ended {
  int code;
  std::string err;
};

template <class Thrown>
Ended program_that_throws(const Thrown& thrown) {
  testing::internal::CaptureStderr();
  const int code = run_program([&]() -> int { throw thrown; });
  return {code, testing::internal::GetCapturedStderr()};
}

void expect_ended(const Ended& ended, int code, const std::string& err) {
  EXPECT_EQ(ended.code, code);
  EXPECT_EQ(ended.err, err);
}

TEST(Program, WhatIsThrownBecomesOneLineAndACode) {
  EXPECT_EQ(run_program([] { return 7; }), 7);
  expect_ended(program_that_throws(UsageError("no verb")), 2, "rebased: no verb\n");
  expect_ended(program_that_throws(ConfigError("a\nb")), 2, "rebased: a\\nb\n");
  expect_ended(program_that_throws(IoError("cannot")), 1, "rebased: cannot\n");
  expect_ended(program_that_throws(std::runtime_error("two\nlines")), 1, "rebased: two\\nlines\n");
  const auto absent = std::make_error_code(std::errc::no_such_file_or_directory);
  expect_ended(program_that_throws(std::filesystem::filesystem_error("", "x/y", absent)), 1,
               "rebased: x/y: No such file or directory\n");
}

TEST(Program, TooLittleMemoryHasASentence) {
  const char* sentence = "rebased: there is not enough memory for this\n";
  expect_ended(program_that_throws(std::bad_alloc()), 1, sentence);
  expect_ended(program_that_throws(std::length_error("vector::_M_default_append")), 1, sentence);
}

TEST(Program, ItEndsSilentlyWhenNobodyReads) {
  EXPECT_EXIT(run_program([]() -> int { throw OutputClosed{}; }), testing::KilledBySignal(SIGPIPE), "^$");
}

}  // namespace
}  // namespace rebased
