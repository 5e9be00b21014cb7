#include "runtime/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <tuple>

#include "base/error.h"
#include "engine/cpu/cpu_value.h"
#include "io/file.h"
#include "io/model_folder.h"
#include "io/temporary_folder.h"
#include "runtime/loaded_model.h"
#include "runtime/session.h"
#include "runtime/tiny_model.h"
#include "store/packed_tensors.h"

namespace rebased {
namespace {

using testing::HasSubstr;

constexpr const char* kTypes[] = {"bf16", "int8", "int4"};

class Convert : public testing::Test {
 protected:
  Convert() { save_model(*tiny_model(engine_), engine_, whole_); }

  std::vector<float> logits_of(LoadedModel& loaded) {
    Session session(loaded);
    std::vector<float> all;
    for (const int64_t length : {3, 1, 70}) {
      const std::span<const float> logits = session.feed(std::vector<int32_t>(static_cast<size_t>(length), 65));
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }
  std::string refusal(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::vector<std::string> entries() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  // Writes packed_ again with its tensors and metadata as `change` leaves them; -> what opening it says.
  using Change = std::function<void(std::deque<TensorToWrite>&, std::map<std::string, std::string>&)>;
  std::string message_after(const Change& change) {
    const ModelFolder folder = open_model_folder(packed_);
    std::deque<TensorToWrite> tensors;
    for (const auto& [name, view] : folder.tensors.tensors()) {
      tensors.push_back({name, view.dtype, view.shape, view.data.data()});
    }
    std::map<std::string, std::string> metadata = folder.tensors.metadata();
    change(tensors, metadata);
    ModelFolderWriter writer(changed_);
    writer.write_config(folder.config);
    writer.write_tensors(std::vector<TensorToWrite>(tensors.begin(), tensors.end()), metadata);
    writer.commit();
    return refusal([&] { LoadedModel::open(changed_); });
  }
  static TensorToWrite& tensor(std::deque<TensorToWrite>& tensors, const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const TensorToWrite& one) { return one.name == name; });
  }

  TemporaryFolder folder_;
  std::string whole_ = folder_ / "whole", packed_ = folder_ / "packed", changed_ = folder_ / "changed";
  CpuEngine engine_;
};

TEST_F(Convert, AnswersBitForBitAsTheWholeModelPackedOnOpening) {
  for (const char* type : kTypes) {
    convert_model(whole_, type, packed_);
    const auto stored = LoadedModel::open(packed_), opened = LoadedModel::open(whole_, type);
    EXPECT_EQ(packing_name(stored->packing().value()), type);
    EXPECT_EQ(logits_of(*stored), logits_of(*opened)) << type;
    EXPECT_EQ(options_to_json(stored->model().config()), options_to_json(opened->model().config()));
    EXPECT_EQ(stored->text_tokenizer().name(), "byte");
    EXPECT_FALSE(LoadedModel::open(whole_)->packing().has_value());
  }
}

TEST_F(Convert, UsesTheWeightsWhereTheyLieInTheFile) {
  for (const char* type : kTypes) {
    convert_model(whole_, type, packed_);
    const auto stored = LoadedModel::open(packed_);
    EXPECT_EQ(stored->engine().arena().bytes_reserved(), 0u) << type;
    for (const Param& param : stored->model().parameters().params()) {
      EXPECT_FALSE(param.value.as<CpuValue>().writable()) << type << " " << param.spec.name;
      EXPECT_EQ(packed(param.value) != nullptr, param.spec.matrix) << param.spec.name;
    }
  }
}

TEST_F(Convert, OutlivesTheFileInItsPlace) {
  convert_model(whole_, "int4", packed_);
  const auto stored = LoadedModel::open(packed_);
  const std::vector<float> before = logits_of(*stored);
  convert_model(whole_, "int8", packed_);
  EXPECT_EQ(logits_of(*stored), before);
}

TEST_F(Convert, WritesTheTensorsOfTheDocument) {
  const std::string name = "lm_head.weight";  // [257, 16]
  convert_model(whole_, "bf16", packed_);
  EXPECT_EQ(open_model_folder(packed_).tensors.at(name).dtype, DType::kBF16);
  convert_model(whole_, "int8", packed_);
  const ModelFolder int8 = open_model_folder(packed_);
  EXPECT_EQ(int8.tensors.at(name + ".packed").dtype, DType::kU8);
  EXPECT_EQ(int8.tensors.at(name + ".packed").shape, Shape({17, 1, 512}));
  EXPECT_EQ(int8.tensors.at(name + ".scales").dtype, DType::kF32);
  EXPECT_EQ(int8.tensors.at(name + ".scales").shape, Shape({17, 16}));
  convert_model(whole_, "int4", packed_);
  const ModelFolder int4 = open_model_folder(packed_);
  EXPECT_EQ(int4.tensors.at(name + ".packed").dtype, DType::kU8);
  EXPECT_EQ(int4.tensors.at(name + ".packed").shape, Shape({17, 1, 256}));
  EXPECT_EQ(int4.tensors.at(name + ".scales").dtype, DType::kBF16);
  EXPECT_EQ(int4.tensors.at(name + ".scales").shape, Shape({17, 1, 16}));
  EXPECT_EQ(int4.tensors.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"weights", "int4"}}));
}

TEST_F(Convert, RefusesWhatCannotBeConvertedAndLeavesNothing) {
  convert_model(whole_, "int4", packed_);
  const std::vector<std::string> before = entries();
  const std::string out = folder_ / "out";
  EXPECT_EQ(refusal([&] { convert_model(whole_, "f32", out); }),
            "weights: expected one of bf16, int8, int4, found 'f32'");
  EXPECT_EQ(refusal([&] { convert_model(packed_, "int8", out); }),
            packed_ + ": its weights are already packed as int4, so weights int8 cannot take effect");
  EXPECT_EQ(refusal([&] { convert_model(whole_, "int8", whole_ + "/"); }),
            whole_ + "/: expected another folder than that of the model");
  EXPECT_THAT(refusal([&] { convert_model(folder_ / "missing", "int8", out); }), HasSubstr("missing"));
  write_file_atomic(folder_ / "file", "");
  EXPECT_THAT(refusal([&] { convert_model(whole_, "int8", folder_ / "file"); }), HasSubstr("not a model folder"));
  std::filesystem::remove(folder_ / "file");
  EXPECT_EQ(entries(), before);
}

TEST_F(Convert, LeavesWhatLiesBesideTheModel) {
  std::filesystem::create_directory(folder_ / "far");
  std::filesystem::create_directory_symlink("far", folder_ / "link");
  convert_model(whole_, "int8", folder_ / "link");
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  write_file_atomic(folder_ / "far/NOTES.md", "mine");
  save_model(*tiny_model(engine_), engine_, folder_ / "far/whole");
  convert_model(folder_ / "far/whole", "int4", folder_ / "far");  // into the folder around it
  EXPECT_EQ(packing_name(LoadedModel::open(folder_ / "link")->packing().value()), "int4");
  EXPECT_EQ(read_file(folder_ / "far/NOTES.md"), "mine");
  EXPECT_FALSE(LoadedModel::open(folder_ / "far/whole")->packing().has_value());
}

TEST_F(Convert, NeverReplacesACheckpoint) {
  std::filesystem::create_directory_symlink(packed_, folder_ / "link");
  for (const char* file : {"optimizer.safetensors", "trainer_state.json"}) {
    save_model(*tiny_model(engine_), engine_, packed_);
    write_file_atomic(packed_ + "/" + file, "of a run");
    const std::string before = read_file(packed_ + "/model.safetensors");
    for (const std::string& to : {packed_, packed_ + "/", folder_ / "link"}) {
      EXPECT_EQ(refusal([&] { convert_model(whole_, "int8", to); }),
                to + ": expected a place for a model, found a checkpoint, whose run could not go on from it");
    }
    EXPECT_EQ(read_file(packed_ + "/" + file), "of a run");
    EXPECT_EQ(read_file(packed_ + "/model.safetensors"), before);
    std::filesystem::remove_all(packed_);
  }
}

TEST_F(Convert, RefusesNumbersThatAreNotFiniteAndNamesTheTensor) {
  const auto model = tiny_model(engine_);
  const Shape shape({257, 16});
  for (const float strange : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> head(257 * 16, 1.0f);
    head[200 * 16 + 3] = strange;
    model->parameters().at("lm_head.weight").value = engine_.from_host(head.data(), DType::kF32, shape, DType::kF32);
    save_model(*model, engine_, whole_);
    const std::string says = whole_ + ": lm_head.weight: expected finite numbers, found infinity or NaN";
    for (const char* type : kTypes) {
      EXPECT_EQ(refusal([&] { convert_model(whole_, type, packed_); }), says);
      EXPECT_EQ(refusal([&] { LoadedModel::open(whole_, type); }), says);
    }
    EXPECT_EQ(refusal([&] { LoadedModel::open(whole_); }), says);
  }
  EXPECT_THAT(entries(), testing::ElementsAre("whole"));
}

TEST_F(Convert, RefusesNumbersThatBfloat16RoundsToInfinity) {
  const auto model = tiny_model(engine_);
  model->parameters().at("lm_head.weight").value = engine_.full(Shape({257, 16}), DType::kF32, 3.4e38);
  save_model(*model, engine_, whole_);
  EXPECT_EQ(refusal([&] { convert_model(whole_, "bf16", packed_); }),
            whole_ + ": lm_head.weight: its numbers are too large for bf16");
  for (const char* type : {"int8", "int4"})
    EXPECT_EQ(refusal([&] { convert_model(whole_, type, packed_); }), "") << type;
}

// Packed elsewhere, or damaged since.
TEST_F(Convert, RefusesPackedNumbersThatAreNotFinite) {
  const uint16_t bf16 = 0xff80;
  const float f32 = NAN;
  for (const auto& [type, part, data] : {std::tuple<const char*, const char*, const void*>("bf16", "", &bf16),
                                         {"int8", ".scales", &f32},
                                         {"int4", ".scales", &bf16}}) {
    convert_model(whole_, type, packed_);
    std::string bytes;
    EXPECT_EQ(message_after([&, part = part, data = data](auto& all, auto&) {
                TensorToWrite& one = tensor(all, std::string("lm_head.weight") + part);
                const auto size = static_cast<size_t>(dtype_size(one.dtype));
                bytes.assign(static_cast<const char*>(one.data), static_cast<size_t>(one.shape.numel()) * size);
                std::memcpy(bytes.data() + 20 * size, data, size);
                one.data = bytes.data();
              }),
              changed_ + ": lm_head.weight: expected finite numbers, found infinity or NaN");
  }
}

TEST_F(Convert, APackedFolderTakesNoOtherWeights) {
  convert_model(whole_, "int8", packed_);
  for (const char* type : {"f32", "bf16", "int8", "int4"}) {
    EXPECT_EQ(refusal([&] { LoadedModel::open(packed_, type); }),
              packed_ + ": its weights are already packed as int8, so weights " + type + " cannot take effect");
  }
}

TEST_F(Convert, NamesTensorsThatDoNotFit) {
  convert_model(whole_, "int4", packed_);
  EXPECT_EQ(message_after([](auto&, auto&) {}), "");
  EXPECT_EQ(message_after([](auto&, auto& metadata) { metadata["weights"] = "int3"; }),
            changed_ + ": metadata 'weights': expected bf16, int8 or int4, found 'int3'");
  EXPECT_THAT(message_after([](auto&, auto& metadata) { metadata.erase("weights"); }),
              HasSubstr("lm_head.weight is missing"));
  EXPECT_THAT(message_after([](auto&, auto& metadata) { metadata["weights"] = "int8"; }),
              HasSubstr("lm_head.weight.packed: expected [17, 1, 512], found [17, 1, 256]"));
  EXPECT_EQ(message_after([](auto& all, auto&) {
              all.erase(std::find_if(all.begin(), all.end(),
                                     [](const TensorToWrite& one) { return one.name == "lm_head.weight.scales"; }));
            }),
            changed_ + ": lm_head.weight.scales is missing");
  EXPECT_EQ(message_after([](auto& all, auto&) {
              tensor(all, "lm_head.weight.packed").shape = Shape({16, 1, 256});
            }),
            changed_ + ": lm_head.weight.packed: expected [17, 1, 256], found [16, 1, 256]");
  EXPECT_EQ(message_after([](auto& all, auto&) { tensor(all, "lm_head.weight.scales").dtype = DType::kF16; }),
            changed_ + ": lm_head.weight.scales: expected BF16, found F16");
  EXPECT_EQ(message_after([](auto& all, auto&) {
              all.push_back({"lm_head.weight", DType::kI8, Shape({0}), nullptr});
            }),
            changed_ + ": lm_head.weight is not part of the model");
}

TEST_F(Convert, RefusesInt8WeightsRowByRow) {
  convert_model(whole_, "int8", packed_);
  EXPECT_EQ(message_after([](auto& all, auto&) {
              TensorToWrite& numbers = tensor(all, "lm_head.weight.packed");
              numbers.dtype = DType::kI8;
              numbers.shape = Shape({257, 16});
            }),
            changed_ + ": its int8 weights lie row by row, as older versions wrote them: convert the model again");
}

// A header one byte shorter moves all data to odd addresses.
TEST_F(Convert, RefusesScalesThatDoNotLieOnTheirSize) {
  convert_model(whole_, "int4", packed_);
  const std::string file = packed_ + "/model.safetensors";
  std::string bytes = read_file(file);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  ASSERT_EQ(bytes[sizeof(length) + length - 1], ' ');
  bytes.erase(sizeof(length) + --length, 1);
  std::memcpy(bytes.data(), &length, sizeof(length));
  write_file_atomic(file, bytes);
  EXPECT_THAT(refusal([&] { LoadedModel::open(packed_); }),
              HasSubstr("lm_head.weight.scales: expected to start at a multiple of 2 bytes of the file"));
}

}  // namespace
}  // namespace rebased
