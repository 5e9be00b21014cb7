#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/rng.h"
#include "io/file.h"

extern char** environ;

namespace rebased {
namespace {

namespace fs = std::filesystem;

pid_t start(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class KillTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) / ("kill_" + std::to_string(::getpid()));
    fs::create_directories(root_);
    std::ofstream(root_ / "recipe.toml")
        << "[data]\ntask = \"mqar\"\n"
           "options = { vocab_size = 32, seq_len = 16, pairs = 2, generator = \"fast\" }\n"
           "train_examples = 2000\ntest_examples = 100\n"
           "[model]\nd_model = 16\nmixers = [{ type = \"rebased\", num_heads = 2 }]\n"
           "[train]\nbatch_size = 50\nepochs = 4\ncheckpoint_every = 3\nstop_accuracy = 1\n";
  }
  void TearDown() override { fs::remove_all(root_); }

  std::vector<std::string> command(const std::string& out, bool resume) const {
    if (resume) return {REBASED_TRAIN_PROGRAM, "train", (root_ / out).string(), "--resume"};
    return {REBASED_TRAIN_PROGRAM, "train", (root_ / "recipe.toml").string(), "--out", (root_ / out).string()};
  }
  std::string weights(const std::string& out) const {
    return read_file((root_ / out / "model" / "model.safetensors").string()) +
           read_file((root_ / out / "last" / "model.safetensors").string());
  }

  fs::path root_;
};

// Kills to survive: 6, or what REBASED_KILLS says.
int wanted_kills() {
  const char* wanted = std::getenv("REBASED_KILLS");
  return wanted != nullptr ? std::atoi(wanted) : 6;
}

// Runs of three kills each, at random moments of the time that a whole run takes; every run is then brought to its end.
TEST_F(KillTest, KilledAtAnyMomentARunEndsInTheSameBits) {
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_EQ(wait_for(start(command("whole", false))), 0);
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - begun;
  Rng rng(derive_key(1, "kill"));
  int kills = 0;
  for (int round = 0; kills < wanted_kills(); ++round) {
    const std::string out = "killed-" + std::to_string(round);
    auto is_run = [&] { return fs::exists(root_ / out / "recipe.toml"); };
    for (int i = 0; i < 3; ++i) {
      const pid_t pid = start(command(out, is_run()));
      std::this_thread::sleep_for(whole * rng.uniform());
      kill(pid, SIGKILL);
      kills += wait_for(pid) == -1 ? 1 : 0;  // it may have ended before
    }
    ASSERT_EQ(wait_for(start(command(out, is_run()))), 0) << "round " << round;
    ASSERT_EQ(weights("whole"), weights(out)) << "round " << round;
    fs::remove_all(root_ / out);
  }
  std::printf("%d kills survived\n", kills);
}

}  // namespace
}  // namespace rebased
