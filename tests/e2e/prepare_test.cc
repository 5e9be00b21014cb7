#include "data/dataset_file.h"
#include "e2e/command_test.h"
#include "io/safetensors.h"

namespace rebased {
namespace {

class Prepare : public CommandTest {
 protected:
  std::string sha256_of(const std::string& file, const std::string& tensor) const {
    const TensorView view = SafetensorsFile::open(folder_ / file).at(tensor);
    EXPECT_EQ(view.dtype, DType::kI64);
    write("raw", std::string(reinterpret_cast<const char*>(view.data.data()), view.data.size()));
    return shell("sha256sum raw").out.substr(0, 64);
  }
  TaskData prepared(const std::string& arguments) const {
    const CommandResult result = rebased("prepare " + arguments + " --out out.safetensors");
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "");
    return read_dataset(folder_ / "out.safetensors").data;
  }
};

// Hashes of the arrays that the published generator makes (corl-team/rebased, multiquery_ar, seed 42).
TEST_F(Prepare, MqarIsThePublishedDataBitForBit) {
  const CommandResult result = rebased(
      "prepare mqar --vocab 8192 --seq-len 128 --pairs 16 --power 0.01 --examples 1000 --seed 42 --out "
      "data.safetensors");
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(sha256_of("data.safetensors", "inputs"),
            "941177657aabf321fffbb155dddd8bd1955a6c7eecf83503b7147e93c657a179");
  EXPECT_EQ(sha256_of("data.safetensors", "labels"),
            "85f94ab2e2f746f8036dfa39f3c50471504cb273684a9e7fab4d8cf019fe1d12");
}

TEST_F(Prepare, EveryFlagTakesEffect) {
  const std::string base = "mqar --vocab 64 --seq-len 16 --pairs 2 --examples 20";
  const TaskData data = prepared(base);
  EXPECT_EQ(data.vocab_size, 64);
  EXPECT_EQ(data.seq_len, 16);
  EXPECT_EQ(data.examples, 20);
  EXPECT_EQ(std::count_if(data.labels.begin(), data.labels.end(), [](int32_t label) { return label >= 0; }), 40);
  EXPECT_EQ(prepared(base + " --seed 42"), data);
  EXPECT_NE(prepared(base + " --seed 43"), data);
  EXPECT_NE(prepared(base + " --power 1"), data);
  EXPECT_NE(prepared(base + " --set generator=fast"), data);
  EXPECT_EQ(prepared("mqar --set vocab_size=64 --set seq_len=16 --set pairs=2 --examples 20"), data);
  const TaskData filled = prepared(base + " --random-fill");
  EXPECT_EQ(filled.labels, data.labels);
  EXPECT_LT(std::count(filled.inputs.begin(), filled.inputs.end(), 0), 40);
}

TEST_F(Prepare, RefusesWhatTheTaskDoesNotHave) {
  expect_refused("prepare mqr --out x", 2, "unknown task 'mqr' (did you mean 'mqar'?)");
  expect_refused("prepare parity --pairs 4 --out x", 2, "--pairs: the task 'parity' has no option 'pairs'");
  expect_refused("prepare parity --random-fill --out x", 2, "--random-fill");
  expect_refused("prepare mqar --set pair=4 --out x", 2, "did you mean 'pairs'?");
  expect_refused("prepare mqar --pairs 4 --set pairs=5 --out x", 2, "'pairs' was given already");
  expect_refused("prepare mqar --pairs 100 --out x", 2, "pairs");
  expect_refused("prepare mqar --examples 0 --out x", 2, "examples");
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(Prepare, AFileThatCannotBeWrittenLeavesNothing) {
  expect_refused("prepare mqar --out missing/x.safetensors", 1, "missing");
  EXPECT_TRUE(folder_.names().empty());
}

}  // namespace
}  // namespace rebased
