#include "runtime/loaded_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/cpu/cpu_value.h"
#include "io/file.h"
#include "io/temporary_folder.h"
#include "runtime/tiny_model.h"

namespace rebased {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class LoadedModelTest : public testing::Test {
 protected:
  void save(const ModelConfig& config, bool with_tokenizer = true) {
    save_model(*tiny_model(engine_, config), engine_, path_, with_tokenizer);
  }
  std::string message() {
    try {
      LoadedModel::open(path_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "model";
  CpuEngine engine_;
};

TEST_F(LoadedModelTest, HasTheConfigTheTokenizerAndTheWeightsOfTheFile) {
  save(tiny_config());
  const auto loaded = LoadedModel::open(path_);
  EXPECT_EQ(loaded->path(), path_);
  EXPECT_EQ(options_to_json(loaded->model().config()), options_to_json(tiny_config()));
  EXPECT_EQ(loaded->text_tokenizer().name(), "byte");
  const auto original = tiny_model(engine_);
  for (const Param& param : loaded->model().parameters().params()) {
    const Value& expected = original->parameters().at(param.spec.name).value;
    const auto n = static_cast<size_t>(param.spec.shape.numel());
    EXPECT_THAT(std::span(floats(param.value), n), testing::ElementsAreArray(std::span(floats(expected), n)));
    EXPECT_FALSE(param.value.as<CpuValue>().writable()) << param.spec.name << " was copied";
  }
}

TEST_F(LoadedModelTest, ATokenizerMayBeAbsentUntilTextIsAsked) {
  save(tiny_config(), false);
  const auto loaded = LoadedModel::open(path_);
  EXPECT_EQ(loaded->tokenizer(), nullptr);
  EXPECT_THROW(loaded->text_tokenizer(), ConfigError);
}

TEST_F(LoadedModelTest, RefusesATokenizerThatDoesNotFit) {
  save(tiny_config(200));
  EXPECT_THAT(message(), AllOf(HasSubstr("tokenizer.json"), HasSubstr("257"), HasSubstr("200")));
  save(tiny_config(300));
  EXPECT_EQ(message(), "");
  write_file_atomic(path_ + "/tokenizer.json", "{\"type\": \"bite\"}");
  EXPECT_THAT(message(), HasSubstr("tokenizer.json"));
}

TEST_F(LoadedModelTest, NamesTensorsThatDoNotFitTheConfig) {
  save(tiny_config());
  ModelConfig wider = tiny_config();
  wider.vocab_size = 258;
  write_file_atomic(path_ + "/config.json", options_to_json(wider).dump());
  EXPECT_THAT(message(), AllOf(HasSubstr(path_), HasSubstr("lm_head.weight: expected [258, 16], found [257, 16]")));
  wider = tiny_config();
  wider.tie_embeddings = true;
  write_file_atomic(path_ + "/config.json", options_to_json(wider).dump());
  EXPECT_THAT(message(), HasSubstr("lm_head.weight is not part of the model"));
}

TEST_F(LoadedModelTest, SaysWhatIsMissing) {
  EXPECT_THROW(LoadedModel::open(path_), IoError);
  save(tiny_config());
  std::filesystem::remove(path_ + "/config.json");
  EXPECT_THAT(message(), HasSubstr("config.json"));
}

}  // namespace
}  // namespace rebased
