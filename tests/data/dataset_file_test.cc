#include "data/dataset_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/task_registry.h"
#include "data/temporary_folder.h"
#include "io/safetensors.h"

namespace rebased {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(DatasetFile, ReadsBackWhatWasWritten) {
  const TemporaryFolder folder;
  const Json options = resolve_task_options("forgetting", {{"pairs", 3}, {"vocab_size", 100}});
  const Dataset written{generate_task("forgetting", options, 7, 5), "forgetting", options, UINT64_MAX};
  write_dataset(folder.path("data.safetensors"), written);
  const Dataset read = read_dataset(folder.path("data.safetensors"));
  EXPECT_EQ(read.data, written.data);
  EXPECT_EQ(read.task, "forgetting");
  EXPECT_EQ(read.options, options);
  EXPECT_EQ(read.seed, UINT64_MAX);
}

// A file with one example of two tokens, then what `change` makes of it.
struct Parts {
  std::vector<int64_t> inputs = {1, 2}, labels = {kIgnoreLabel, 3};
  Shape shape{1, 2};
  std::map<std::string, std::string> metadata = {
      {"format", "rebased.dataset.1"}, {"task", "mqar"}, {"options", "{}"}, {"seed", "1"}, {"vocab_size", "4"}};
};

template <class Change>
void expect_refused(const Change& change, const std::string& message) {
  const TemporaryFolder folder;
  Parts parts;
  change(parts);
  const TensorToWrite tensors[] = {{"inputs", DType::kI64, parts.shape, parts.inputs.data()},
                                   {"labels", DType::kI64, Shape{1, 2}, parts.labels.data()}};
  write_safetensors(folder.path("data.safetensors"), tensors, parts.metadata);
  EXPECT_THAT([&] { read_dataset(folder.path("data.safetensors")); },
              ThrowsMessage<FormatError>(AllOf(HasSubstr("data.safetensors"), HasSubstr(message))));
}

TEST(DatasetFile, RefusesWhatIsNoDataSet) {
  expect_refused([](Parts& p) { p.metadata.erase("format"); }, "metadata 'format' is missing");
  expect_refused([](Parts& p) { p.metadata["format"] = "other"; }, "found 'other'");
  expect_refused([](Parts& p) { p.metadata["seed"] = "1x"; },
                 "metadata 'seed' must be an integer that fits, found '1x'");
  expect_refused([](Parts& p) { p.metadata["vocab_size"] = "99999999999"; }, "metadata 'vocab_size'");
  expect_refused([](Parts& p) { p.metadata["options"] = "{"; }, "metadata 'options'");
  expect_refused([](Parts& p) { p.inputs[1] = 4; }, "inputs holds the id 4 outside [0, 4)");
  expect_refused([](Parts& p) { p.inputs[1] = kIgnoreLabel; }, "inputs holds the id -100");
  expect_refused([](Parts& p) { p.labels[0] = -1; }, "labels holds the id -1 outside [0, 4)");
  expect_refused([](Parts& p) { p.shape = Shape{2}; }, "inputs must be [examples, seq_len], found [2]");
  expect_refused([](Parts& p) { p.shape = Shape{2, 1}; }, "labels must be I64 [2, 1], found I64 [1, 2]");
  EXPECT_THROW(read_dataset("/no/such/file.safetensors"), IoError);
}

TEST(DatasetFile, RefusesOtherTypes) {
  const TemporaryFolder folder;
  const float values[] = {1, 2};
  const TensorToWrite tensors[] = {{"inputs", DType::kF32, Shape{1, 2}, values},
                                   {"labels", DType::kF32, Shape{1, 2}, values}};
  write_safetensors(folder.path("data.safetensors"), tensors, Parts().metadata);
  EXPECT_THAT([&] { read_dataset(folder.path("data.safetensors")); },
              ThrowsMessage<FormatError>(HasSubstr("inputs must be I64 [1, 2], found F32 [1, 2]")));
}

}  // namespace
}  // namespace rebased
