#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <regex>

#include "e2e/command_test.h"

namespace rebased {
namespace {

using testing::HasSubstr;

class Usage : public CommandTest {
 protected:
  // The verbs that the help of `verb` lists.
  std::vector<std::string> verbs_of(const std::string& verb) const {
    const std::string help = rebased(verb + " --help").out;
    std::vector<std::string> verbs;
    const size_t begin = help.find("Verbs:\n");
    if (begin == std::string::npos) return verbs;
    const std::string section = help.substr(begin, help.find("\n\n", begin) - begin);
    const std::regex line("\n  ([a-z]+) ");
    for (std::sregex_iterator found(section.begin(), section.end(), line), end; found != end; ++found) {
      verbs.push_back((verb.empty() ? "" : verb + " ") + (*found)[1].str());
    }
    return verbs;
  }
};

std::string last_line(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.rfind('\n') + 1);
}

TEST_F(Usage, VersionNamesTheCommit) {
  const CommandResult result = rebased("--version");
  EXPECT_EQ(result.status, 0);
  EXPECT_TRUE(std::regex_match(result.out, std::regex("rebased \\d+\\.\\d+\\.\\d+ \\(commit [0-9a-z-]+\\)\n")))
      << result.out;
}

TEST_F(Usage, HelpListsEveryVerb) {
  EXPECT_THAT(verbs_of(""), testing::ElementsAre("train", "sweep", "validate", "prepare", "eval", "generate", "state",
                                                 "convert", "ls", "bench"));
  EXPECT_THAT(verbs_of("eval"), testing::ElementsAre("eval mqar", "eval ppl"));
  EXPECT_THAT(verbs_of("state"), testing::ElementsAre("state info", "state diff"));
  EXPECT_THAT(verbs_of("ls"), testing::ElementsAre("ls mixers", "ls tasks", "ls recipes", "ls model"));
  EXPECT_THAT(verbs_of("bench"),
              testing::ElementsAre("bench limits", "bench kernels", "bench train", "bench decode", "bench prefill"));
}

TEST_F(Usage, TheExampleOfEveryHelpWorks) {
  make_model();
  write("text.txt", "To be, or not to be, that is the question.\n");
  shell("rebased generate model -p a -n 1 --quiet --state-out text.state && cp text.state other.state");
  std::vector<std::string> verbs = {"", "prepare", "eval", "generate", "state", "convert", "ls", "bench"};
  for (const char* parent : {"eval", "state", "ls", "bench"}) {
    for (const std::string& verb : verbs_of(parent)) {
      if (verb != "bench train") verbs.push_back(verb);  // handed over, as train is
    }
  }
  for (const std::string& verb : verbs) {
    const CommandResult help = rebased(verb + " -h");
    EXPECT_EQ(help.status, 0);
    EXPECT_EQ(help.err, "");
    const std::string example = last_line(help.out);
    EXPECT_THAT(example, testing::StartsWith("  rebased " + verb));
    const CommandResult result = shell(example);
    EXPECT_EQ(result.status, 0) << example << ": " << result.err;
  }
}

TEST_F(Usage, WhatIsUnknownIsRefusedWithAGuess) {
  expect_refused("", 2, "no verb was given; see rebased --help");
  expect_refused("eval", 2, "no verb was given; see rebased eval --help");
  expect_refused("generat model", 2, "unknown verb 'generat' (did you mean 'generate'?)");
  expect_refused("eval mqra model", 2, "unknown verb 'mqra' (did you mean 'mqar'?)");
  expect_refused("generate model --temprature 1", 2, "unknown flag '--temprature' (did you mean '--temperature'?)");
  expect_refused("generate --temprature=1", 2, "unknown flag '--temprature' (did you mean '--temperature'?)");
  expect_refused("ls mixers rebased based", 2, "unexpected argument 'based'; see rebased ls mixers --help");
  expect_refused("ls mixers rebasd", 2, "unknown mixer 'rebasd' (did you mean 'rebased'?)");
}

TEST_F(Usage, WhatIsMissingOrNoNumberIsRefused) {
  expect_refused("generate", 2, "MODEL");
  expect_refused("eval ppl model", 2, "FILE");
  expect_refused("prepare mqar", 2, "--out");
  expect_refused("generate model -p a -n many", 2, "many");
  expect_refused("generate model -p a --top-k many", 2, "top_k");
  expect_refused("generate model -p a --top-k [nan]", 2, "--top-k: 0: expected a finite number, found nan");
  expect_refused("generate model -p a --top-k '{'", 2, "--top-k: expected TOML: ");
  expect_refused("ls mixers --threads 0", 2, "--threads: expected a number 1 to 1024, found 0");
  expect_refused("--threads 99999 ls mixers", 2, "--threads");
}

TEST_F(Usage, EveryNumberOfAFlagHasTwoBounds) {
  make_model();
  write("text.txt", "To be, or not to be.\n");
  const std::vector<std::pair<std::string, std::string>> flags = {{"ls mixers", "--threads"},
                                                                  {"generate model -p a", "--tokens"},
                                                                  {"generate model -p a", "--top-k"},
                                                                  {"eval ppl model text.txt", "--window"},
                                                                  {"eval ppl model text.txt", "--batch"},
                                                                  {"eval mqar model", "--examples"},
                                                                  {"eval mqar model", "--batch"},
                                                                  {"prepare mqar --out x", "--vocab"},
                                                                  {"prepare mqar --out x", "--seq-len"},
                                                                  {"prepare mqar --out x", "--pairs"},
                                                                  {"prepare mqar --out x", "--examples"},
                                                                  {"bench limits", "--rounds"},
                                                                  {"bench kernels", "--rounds"},
                                                                  {"bench decode model", "--rows"},
                                                                  {"bench decode model", "--position"},
                                                                  {"bench prefill model", "--tokens"},
                                                                  {"bench prefill model", "--behind"}};
  for (const auto& [command, flag] : flags) {
    std::string name = flag.substr(2);
    if (name == "vocab") name = "vocab_size";
    std::replace(name.begin(), name.end(), '-', '_');
    for (const char* number : {"99999999999999999999", "9223372036854775807", "-1", "1e300", "nan", "1.5"}) {
      const CommandResult result = rebased(command + " " + flag + "=" + number);
      EXPECT_EQ(result.status, 2) << command << " " << flag << " " << number << ": " << result.err;
      EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
      EXPECT_TRUE(result.err.find(flag) != std::string::npos || result.err.find(name) != std::string::npos)
          << result.err;
    }
  }
  for (const char* command : {"prepare mqar --out x", "eval mqar model", "generate model -p a"}) {
    for (const char* seed : {"18446744073709551616", "-1"}) {
      expect_refused(std::string(command) + " --seed=" + seed, 2, "seed");
    }
  }
}

TEST_F(Usage, AClosedStdoutIsAnError) {
  for (const std::string redirection : {">&-", ">/dev/full"}) {
    const CommandResult result = rebased("ls mixers " + redirection);
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.err, HasSubstr("rebased: standard output: cannot write: "));
  }
}

// ulimit -f counts 1024 bytes; without care the signal SIGXFSZ ends the process.
TEST_F(Usage, AFileBeyondItsLimitIsAnErrorThatLeavesNothing) {
  const std::string prepare = "rebased prepare mqar --seq-len 64 --pairs 2 --examples 1000 --out data.safetensors";
  const CommandResult result = shell("ulimit -f 4; " + prepare);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, testing::MatchesRegex("rebased: [^\n]*cannot write: File too large\n"));
  EXPECT_THAT(folder_.names(), testing::ElementsAre());
  EXPECT_EQ(shell("ulimit -f 0; rebased ls mixers > list 2> errors").status, 1);
}

TEST_F(Usage, ABrokenPipeEndsItSilently) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  ::close(pipe_ends[0]);
  const CommandResult result = rebased("ls mixers >&" + std::to_string(pipe_ends[1]));
  ::close(pipe_ends[1]);
  EXPECT_EQ(result.status, 128 + SIGPIPE);
  EXPECT_EQ(result.err, "");
}

// Without care the file to be written would get the number of the closed stream, and the messages would land in it.
TEST_F(Usage, AClosedStderrSpoilsNothing) {
  const std::string arguments = "prepare mqar --seq-len 16 --pairs 2 --examples 3 --out ";
  EXPECT_EQ(rebased(arguments + "open.safetensors").status, 0);
  EXPECT_EQ(rebased(arguments + "closed.safetensors 0>&- 1>&- 2>&-").status, 0);
  EXPECT_EQ(read_file(folder_ / "open.safetensors"), read_file(folder_ / "closed.safetensors"));
}

TEST_F(Usage, TrainingIsHandedToItsOwnCommand) {
  std::filesystem::create_directory(folder_ / "bin");
  write("bin/rebased-train", "#!/bin/sh\nprintf '%s|' \"$@\"\nexit 3\n");
  std::filesystem::permissions(folder_ / "bin/rebased-train", std::filesystem::perms::owner_all);
  std::filesystem::copy(REBASED_COMMAND, folder_ / "bin/rebased");
  const CommandResult beside = shell("bin/rebased train recipe.toml --set 'a.b = 1' --help");
  EXPECT_EQ(beside.status, 3) << beside.err;
  EXPECT_EQ(beside.out, "train|recipe.toml|--set|a.b = 1|--help|");
  EXPECT_EQ(shell("bin/rebased validate x").out, "validate|x|");
  EXPECT_EQ(shell("bin/rebased bench train x --json").out, "bench|x|--json|");
  EXPECT_EQ(shell("bin/rebased --threads 2 train x").status, 2);
  EXPECT_EQ(shell("bin/rebased sweep").out, "sweep|");
  std::filesystem::create_directory(folder_ / "other");
  std::filesystem::rename(folder_ / "bin/rebased", folder_ / "other/rebased");
  EXPECT_EQ(shell("PATH=$PWD/bin:$PATH other/rebased train --unknown").out, "train|--unknown|");
  const CommandResult absent = shell("PATH=/usr/bin other/rebased train recipe.toml");
  EXPECT_EQ(absent.status, 1);
  EXPECT_THAT(absent.err,
              HasSubstr("rebased: rebased-train, which does the training, is neither beside this program nor in PATH"));
}

TEST_F(Usage, ListsAreTextOrJson) {
  EXPECT_THAT(rebased("ls mixers").out, HasSubstr("\nrebased "));
  EXPECT_THAT(rebased("ls mixers rebased").out, HasSubstr("feature_dim"));
  EXPECT_THAT(rebased("ls tasks").out, HasSubstr("\nmqar "));
  const Json tasks = Json::parse(rebased("ls tasks --json").out);
  EXPECT_EQ(tasks.at(0).at("name"), "mqar");
  const Json mqar = Json::parse(rebased("ls tasks mqar --json").out);
  EXPECT_EQ(mqar.at("options").at(0).at("name"), "vocab_size");
  EXPECT_EQ(mqar.at("options").at(0).at("default"), "8192");
}

TEST_F(Usage, RecipesOfTheFolderAreListed) {
  std::filesystem::create_directories(folder_ / "recipes/deep");
  write("recipes/deep/other.toml", "seed = 1\n");
  EXPECT_THAT(rebased("ls recipes").out, HasSubstr("\ndeep/other"));
  write("recipes/my_own.toml", "\n# My own recipe.\n# More.\nseed = 1\n");
  EXPECT_THAT(rebased("ls recipes").out, HasSubstr("my_own"));
  EXPECT_THAT(rebased("ls recipes").out, HasSubstr("My own recipe.\n"));
  EXPECT_EQ(rebased("ls recipes my_own").out, read_file(folder_ / "recipes/my_own.toml"));
  EXPECT_EQ(Json::parse(rebased("ls recipes my_own --json").out).at("path"), "recipes/my_own.toml");
  expect_refused("ls recipes my_onw", 2, "did you mean 'my_own'?");
  shell("mkfifo recipes/pipe.toml; ln -s /dev/zero recipes/device.toml; ln -s nowhere recipes/lost.toml");
  EXPECT_THAT(rebased("ls recipes").out, testing::AllOf(HasSubstr("my_own"), testing::Not(HasSubstr("pipe"))));
}

}  // namespace
}  // namespace rebased
