#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "io/file.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct Result {
  int status;
  std::string error;
};

// `rebased-train validate` of a tiny recipe on a device.
Result validate_on(const std::string& device) {
  const fs::path folder = fs::path(::testing::TempDir()) / ("device_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::string recipe = folder / "recipe.toml", error = folder / "error.txt";
  write_file_atomic(recipe,
                    "[data]\ntask = \"mqar\"\ntrain_examples = 20\ntest_examples = 5\n"
                    "options = { vocab_size = 16, seq_len = 8, pairs = 2, generator = \"fast\" }\n"
                    "[model]\nd_model = 8\nmixers = [{ type = \"rebased\", num_heads = 2 }]\n"
                    "[train]\nbatch_size = 10\n");
  const std::string command = std::string(REBASED_TRAIN_PROGRAM) + " validate " + recipe +
                              " --steps 1 --json --set device=" + device + " >/dev/null 2>" + error;
  const int status = std::system(command.c_str());
  const Result result{WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(error)};
  fs::remove_all(folder);
  return result;
}

TEST(Device, OfThisProgramNeedsNothingElse) {
  const Result result = validate_on("cpu");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST(Device, OfLibtorchIsAnotherPrograms) {
  const Result result = validate_on("torch:cpu");
#if REBASED_HAS_TORCH
  EXPECT_EQ(result.status, 0) << result.error;
#else
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.error, HasSubstr("rebased-train-torch, which trains on device \"torch:cpu\", is neither beside"));
#endif
}

TEST(Device, ThatNobodyHasIsRefusedInOneSentence) {
  const Result result = validate_on("xla:0");
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(result.error, HasSubstr("xla:0"));
  EXPECT_LT(std::count(result.error.begin(), result.error.end(), '\n'), 3) << result.error;
}

TEST(Device, ThatIsNoneIsAFaultOfTheRecipe) {
  for (const std::string device : {"nonsense", "CPU", "cuda:", "cuda:x", "cuda:-1", "torch:", "torch:torch:cpu",
                                   "torch", "cpu,", "cuda:0:1", "meta"}) {
    const Result result = validate_on(device);
    EXPECT_EQ(result.status, 2) << device;
    EXPECT_THAT(result.error, AllOf(HasSubstr("recipe.toml: device: expected cpu, or a device of libtorch"),
                                    HasSubstr("cpu, cuda, hip"), HasSubstr("found '" + device + "'")));
    EXPECT_EQ(std::count(result.error.begin(), result.error.end(), '\n'), 1) << result.error;
  }
  EXPECT_THAT(validate_on("cudo:0").error, HasSubstr("(did you mean 'cuda'?)"));
  EXPECT_THAT(validate_on("''").error, HasSubstr("found ''"));
}

}  // namespace
}  // namespace rebased
