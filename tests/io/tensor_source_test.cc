#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "io/temporary_folder.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

class ShardedModel : public testing::Test {
 protected:
  void SetUp() override {
    write_shard("one.safetensors", {"a", "b"});
    write_shard("two.safetensors", {"c"});
  }

  void write_shard(const std::string& file, const std::vector<std::string>& names) {
    std::vector<TensorToWrite> tensors;
    for (const std::string& name : names) tensors.push_back({name, DType::kF32, {2}, values_});
    write_safetensors(folder_ / file, tensors, {{"format", "pt"}, {file, "here"}});
  }

  TensorSource open(const std::string& index) {
    write_file_atomic(index_, index);
    return TensorSource::open(index_);
  }

  template <class E>
  void expect_refused(const std::string& index, const std::string& message) {
    EXPECT_THAT([&] { open(index); }, ThrowsMessage<E>(HasSubstr(message))) << index;
  }

  const float values_[2] = {1, -2};
  TemporaryFolder folder_;
  std::string index_ = folder_ / "model.safetensors.index.json";
};

TEST_F(ShardedModel, ReadsEveryShard) {
  const TensorSource source = open(R"({"metadata": {"total_size": 24}, "weight_map":
      {"a": "one.safetensors", "c": "two.safetensors", "b": "one.safetensors"}})");
  EXPECT_EQ(source.tensors().size(), 3u);
  EXPECT_THAT(read_f32(source.at("c")), ElementsAre(1, -2));
  EXPECT_THAT(source.metadata(),
              ElementsAre(Pair("format", "pt"), Pair("one.safetensors", "here"), Pair("two.safetensors", "here")));
  EXPECT_EQ(source.find("d"), nullptr);
  EXPECT_THAT([&] { source.at("d"); }, ThrowsMessage<FormatError>(HasSubstr(index_ + ": no tensor 'd'")));
}

TEST_F(ShardedModel, ReadsASingleFile) {
  const TensorSource source = TensorSource::open(folder_ / "one.safetensors");
  EXPECT_EQ(source.tensors().size(), 2u);
  EXPECT_NE(source.find("b"), nullptr);
  EXPECT_THROW(TensorSource::open(folder_ / "none.safetensors"), IoError);
}

TEST_F(ShardedModel, NamesAMissingShard) {
  expect_refused<IoError>(R"({"weight_map": {"a": "three.safetensors"}})", "three.safetensors: cannot open");
}

TEST_F(ShardedModel, NamesATensorThatIsNotWhereTheIndexSays) {
  expect_refused<FormatError>(
      R"({"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "one.safetensors"}})",
      "tensor 'c' is not in one.safetensors");
}

TEST_F(ShardedModel, NamesATensorThatTheIndexLeavesOut) {
  expect_refused<FormatError>(R"({"weight_map": {"a": "one.safetensors"}})",
                              "tensor 'b' of one.safetensors is not listed");
  write_shard("two.safetensors", {"b", "c"});
  expect_refused<FormatError>(
      R"({"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}})",
      "tensor 'b' of two.safetensors is not listed");
}

TEST_F(ShardedModel, ShardNamesArePlain) {
  for (const char* name : {"../one.safetensors", "/etc/passwd", "a\\\\b", "", ".", "..", "one\\u0000"}) {
    expect_refused<FormatError>(fmt::format(R"({{"weight_map": {{"a": "{}"}}}})", name),
                                "tensor 'a': expected the plain name of a file");
  }
}

TEST_F(ShardedModel, TheIndexItselfIsChecked) {
  expect_refused<FormatError>("[]", "expected a JSON object, found array");
  expect_refused<FormatError>("{", "parse error");
  expect_refused<FormatError>("{}", "no 'weight_map'");
  expect_refused<FormatError>(R"({"weight_map": ["a"]})", "weight_map: expected an object of strings, found array");
  expect_refused<FormatError>(R"({"weight_map": {"a": 1}})", "weight_map: expected a string for 'a', found 1");
  expect_refused<FormatError>(R"({"weight_map": {"a": "x", "a": "y"}})", "key 'a' stands twice");
}

}  // namespace
}  // namespace rebased
