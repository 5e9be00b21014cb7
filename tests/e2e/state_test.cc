#include "e2e/command_test.h"

namespace rebased {
namespace {

using testing::HasSubstr;

class State : public CommandTest {};

TEST_F(State, TextsGoOnAsIfTheyHadNeverStopped) {
  make_model();
  for (const std::string flags : {"--greedy", "--seed 5", "--temperature 3 --top-k 40", "--greedy --weights int8"}) {
    const std::string common = "generate model --quiet " + flags;
    const std::string whole = rebased(common + " -p 'To be' -n 24").out;
    for (const int cut : {0, 1, 7, 23}) {
      const std::string first = rebased(common + " -p 'To be' --state-out s -n " + std::to_string(cut)).out;
      const CommandResult second = rebased(common + " --state-in s -n " + std::to_string(24 - cut));
      EXPECT_EQ(second.status, 0) << second.err;
      EXPECT_EQ(first + second.out, whole) << flags << " " << cut;
    }
  }
}

TEST_F(State, APromptIsReadBehindTheEarlierText) {
  make_model();
  const std::string flags = " --quiet --greedy";
  rebased("generate model -p 'To be' -n 0 --state-out s" + flags);
  EXPECT_EQ("To be" + rebased("generate model --state-in s -p ' or' -n 9" + flags).out,
            rebased("generate model -p 'To be or' -n 9" + flags).out);
  EXPECT_EQ(rebased("generate model --state-in s -p ' or' -n 9 --no-echo" + flags).out,
            rebased("generate model -p 'To be or' -n 9 --no-echo" + flags).out);
}

// The state of the first run is written again and again; a chain of runs is one run.
TEST_F(State, AFileMayBeReadAndWrittenByOneRun) {
  make_model();
  std::string text = rebased("generate model --quiet --seed 3 -p a -n 4 --state-out s").out;
  for (int i = 0; i < 4; ++i) text += rebased("generate model --quiet --seed 3 --state-in s --state-out s -n 4").out;
  EXPECT_EQ(text, rebased("generate model --quiet --seed 3 -p a -n 20").out);
  EXPECT_EQ(Json::parse(rebased("state info s --json").out).at("draws"), 20);
}

// What the first run holds back of a character comes with the second one.
TEST_F(State, ACharacterMayBeCut) {
  make_model(0x82);
  write("half", "a\xe2");
  const std::string flags = " --quiet --state-out s";
  EXPECT_EQ(rebased("generate model --prompt-file half -n 1" + flags).out, "a");
  EXPECT_EQ(Json::parse(rebased("state info s --json").out).at("begun_bytes"), 2);
  EXPECT_EQ(rebased("generate model --quiet --state-in s -n 1").out, "\xe2\x82\x82");
  EXPECT_EQ(rebased("generate model --quiet --state-in s -n 0").out, "\uFFFD");
  EXPECT_EQ(rebased("generate model --quiet --state-in s -p b -n 0").out, "\uFFFDb");
  EXPECT_EQ(rebased("generate model --quiet --state-in s -p b -n 0 --no-echo").out, "\uFFFD");
  EXPECT_EQ(rebased("generate model --prompt-file half -n 1 --no-echo" + flags).out, "");
  EXPECT_EQ(rebased("generate model --quiet --state-in s -n 1").out, "\x82\x82");  // the prompt has the first byte
  EXPECT_EQ(rebased("generate model --prompt-file half -n 2" + flags).out, "a\xe2\x82\x82");
  EXPECT_EQ(rebased("generate model --quiet --state-in s -n 1").out, "\uFFFD");
}

TEST_F(State, InfoPrintsATableOrJson) {
  make_model();
  rebased("generate model -p 'To be' -n 4 --quiet --greedy --state-out s");
  const CommandResult table = rebased("state info s");
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, testing::StartsWith("state of the model "));
  EXPECT_THAT(table.out, testing::AllOf(HasSubstr(": 1 row, "), HasSubstr(" bytes in 3 arrays; tokens seen: 9\n"),
                                        HasSubstr("\nlayers.0.conv "), HasSubstr("[1, 2, 10, 8]")));
  const Json json = Json::parse(rebased("state info s --json").out);
  EXPECT_EQ(json.at("positions"), Json::array({9}));
  EXPECT_EQ(json.at("version"), "1");
  EXPECT_EQ(json.at("draws"), 0);
  EXPECT_EQ(json.at("arrays").at(1).at("name"), "layers.1.s");
  EXPECT_EQ(json.at("arrays").at(1).at("bytes"), 640);
  int64_t bytes = 0;
  for (const Json& array : json.at("arrays")) {
    bytes += array.at("bytes").get<int64_t>();
    EXPECT_LE(array.at("least"), array.at("mean"));
    EXPECT_LE(array.at("mean"), array.at("most"));
  }
  EXPECT_EQ(json.at("bytes"), bytes);
}

TEST_F(State, DiffSaysWhatDiffersByItsExitCodeToo) {
  make_model();
  rebased("generate model -p 'To be' -n 0 --quiet --state-out a");
  rebased("generate model -p 'To be' -n 0 --quiet --state-out b");
  rebased("generate model -p 'To b' -n 0 --quiet --state-out c");
  const CommandResult same = rebased("state diff a b");
  EXPECT_EQ(same.status, 0);
  EXPECT_EQ(same.out + same.err, "");
  EXPECT_EQ(Json::parse(rebased("state diff a b --json").out).at("same"), true);
  const CommandResult other = rebased("state diff a c");
  EXPECT_EQ(other.status, 1);
  EXPECT_EQ(other.err, "");
  EXPECT_THAT(other.out, testing::AllOf(HasSubstr("\npositions "), HasSubstr("5 and 4"), HasSubstr("\nlayers.1.s "),
                                        HasSubstr(" of 160 elements, by ")));
  const Json json = Json::parse(rebased("state diff a c --json").out);
  EXPECT_EQ(json.at("same"), false);
  EXPECT_EQ(json.at("differences").at(0).at("name"), "positions");
  EXPECT_EQ(json.at("differences").at(1).at("of"), 257);
  make_model('x', 0, "other");
  rebased("generate other -p 'To be' -n 0 --quiet --state-out d");
  EXPECT_THAT(rebased("state diff a d").out, HasSubstr("\nmodel "));
  write("text", "To be");
  expect_refused("state diff a text", 2, "text: ");
  expect_refused("state diff missing a", 2, "missing");
  expect_refused("state diff a", 2, "B is required");
  expect_refused("state info missing", 1, "missing");
  expect_refused("state info model/model.safetensors", 1, "expected a state file");
  expect_refused("state", 2, "no verb was given");
}

TEST_F(State, RefusesWhatDoesNotFit) {
  make_model('x', 8);
  make_model('y', 8, "other");
  rebased("generate model -p abc -n 2 --quiet --state-out s");
  expect_refused("generate other --state-in s -n 1", 1, "s: it is the state of another model, or of other weights");
  expect_refused("generate model --weights int4 --state-in s -n 1", 1, "or of other weights");
  expect_refused("generate model --state-in missing -n 1", 1, "missing");
  expect_refused("generate model --state-in model/model.safetensors -n 1", 1, "expected a state file");
  expect_refused("generate model --state-in s -n 5", 1, "4 tokens after 5 are more than the 8");
  expect_refused("generate model --state-in s -n 4 --state-out t", 1, "4 tokens after 5 are more than the 8");
  expect_refused("generate model -p a -n 1 --state-out missing/s", 1, "missing/s");
  expect_refused("generate model --state-in s -p a --prompt-file b", 2, "either --prompt or --prompt-file");
  expect_refused("generate model", 2, "or go on from --state-in");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "t"));
  EXPECT_EQ(rebased("generate model --state-in s -n 4 --quiet").out, "xxxx");
}

}  // namespace
}  // namespace rebased
