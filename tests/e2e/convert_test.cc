#include <map>

#include "e2e/command_test.h"

namespace rebased {
namespace {

using testing::HasSubstr;

class ConvertCommand : public CommandTest {};

TEST_F(ConvertCommand, WritesAFolderThatEveryVerbTakes) {
  make_model();
  write("text.txt", "To be, or not to be, that is the question.\n");
  for (const std::string type : {"bf16", "int8", "int4"}) {
    const CommandResult result = rebased("convert model --weights " + type + " --out packed");
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out + result.err, "");
    const std::string flags = " -p 'To be' -n 20 --quiet --greedy";
    EXPECT_EQ(rebased("generate packed" + flags).out, rebased("generate model --weights " + type + flags).out);
    const auto bits = [&](const std::string& model) {
      return Json::parse(rebased("eval ppl " + model + " text.txt --json").out)["bits_per_byte"];
    };
    EXPECT_EQ(bits("packed"), bits("model --weights " + type));
    EXPECT_EQ(rebased("bench decode packed --rounds 1").status, 0);
    EXPECT_EQ(Json::parse(rebased("ls model packed --json").out)["weights"], type);
    EXPECT_THAT(rebased("ls model packed").out, testing::StartsWith("weights " + type + ": "));
  }
  EXPECT_THAT(rebased("ls model model").out, testing::StartsWith("weights f32: "));
}

TEST_F(ConvertCommand, ListsParametersWithTheirSizes) {
  make_model();
  rebased("convert model --weights int8 --out packed");
  const Json document = Json::parse(rebased("ls model packed --json").out);
  int64_t bytes = 0;
  std::map<std::string, Json> tensors;
  for (const Json& row : document["tensors"]) {
    bytes += row["bytes"].get<int64_t>();
    tensors[row["name"].get<std::string>()] = row;
  }
  EXPECT_EQ(tensors.at("lm_head.weight")["bytes"], 17 * 16 * (32 + 4));  // [257, 16] in tiles
  EXPECT_EQ(tensors.at("ln_f.weight")["type"], "f32");
  EXPECT_EQ(document["bytes"], bytes);
  EXPECT_THAT(rebased("ls model packed").out, HasSubstr("\nlm_head.weight "));
}

TEST_F(ConvertCommand, RefusesWhatItCannotDo) {
  make_model();
  expect_refused("convert model --out packed", 2, "--weights");
  expect_refused("convert model --weights int4", 2, "--out");
  expect_refused("convert model --weights f32 --out packed", 2, "expected one of bf16, int8, int4, found 'f32'");
  expect_refused("convert model --weights int4 --out model", 2, "model: expected another folder");
  expect_refused("convert missing --weights int4 --out packed", 1, "missing: no such folder");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "packed"));
  std::filesystem::copy(folder_ / "model", folder_ / "linked");
  std::filesystem::rename(folder_ / "linked/model.safetensors", folder_ / "far");
  std::filesystem::create_symlink("../far", folder_ / "linked/model.safetensors");
  expect_refused("convert model --weights int4 --out linked", 1, "linked/model.safetensors: is a symbolic link");
  EXPECT_EQ(rebased("ls model linked").status, 0);
  rebased("convert model --weights int4 --out packed");
  expect_refused("generate packed -p a --weights int8", 2, "packed: its weights are already packed as int4");
  expect_refused("eval ppl packed packed/config.json --weights f32", 2, "so weights f32 cannot take effect");
  expect_refused("bench decode packed --weights int4", 2, "already packed as int4");
  expect_refused("convert packed --weights int8 --out other", 2, "already packed as int4");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "other"));
}

}  // namespace
}  // namespace rebased
