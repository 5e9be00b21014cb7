#include "runtime/loaded_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "config/document.h"
#include "engine/cpu/cpu_value.h"
#include "io/file.h"
#include "io/resident_memory.h"
#include "io/temporary_folder.h"
#include "runtime/convert.h"
#include "runtime/session.h"
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

// Logits of some tokens at once, then of one more from the state, then of 70 (each another path of the products).
std::vector<float> logits_of(LoadedModel& loaded) {
  std::vector<float> all;
  Session session(loaded);
  for (const int64_t length : {3, 1, 70}) {
    const std::vector<int32_t> tokens(static_cast<size_t>(length), static_cast<int32_t>(60 + length));
    const std::span<const float> logits = session.feed(tokens);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

// A folder from before filter_hidden: the filter network is as wide as the model. Whole, it answers what the folder
// with the option answers; packed, it opens too.
TEST_F(LoadedModelTest, AnOlderImplicitFilterIsAsWideAsItsTensors) {
  ModelConfig config = tiny_config();
  config.d_model = 12;
  config.max_tokens = 80;
  config.mixers[0] = Json{{"type", "base_conv"}, {"filter", "implicit"}, {"filter_hidden", 12}};
  save(config);
  const std::vector<float> expected = logits_of(*LoadedModel::open(path_));
  Json older = options_to_json(config);
  older["mixers"][0].erase("filter_hidden");
  older.erase("final_norm_eps");
  write_file_atomic(path_ + "/config.json", older.dump());
  const auto loaded = LoadedModel::open(path_);
  EXPECT_EQ(loaded->model().config().mixers[0]["filter_hidden"], 12);
  EXPECT_EQ(logits_of(*loaded), expected);
  const std::string packed = folder_ / "packed";
  convert_model(path_, "int8", packed);
  Json older_packed = parse_json(read_file(packed + "/config.json"), packed);
  EXPECT_EQ(older_packed["mixers"][0]["filter_hidden"], 12);
  older_packed["mixers"][0].erase("filter_hidden");
  write_file_atomic(packed + "/config.json", older_packed.dump());
  EXPECT_EQ(LoadedModel::open(packed)->model().config().mixers[0]["filter_hidden"], 12);
}

// |a - b| / |b|
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

// A model whose weights are what the packed ones stand for must answer alike: embedding, layers and head. What they
// multiply is rounded in each of seven products in a row: by 2^-9 of a number at most for bf16; for int8 and int4 by
// 1 / 254 of the largest of 32 numbers at most, about 0.005 of their size.
TEST_F(LoadedModelTest, ComputesWithPackedWeights) {
  for (const bool tied : {false, true}) {
    ModelConfig config = tiny_config();
    config.tie_embeddings = tied;
    save(config);
    for (const char* type : {"bf16", "int8", "int4"}) {
      const auto packed = LoadedModel::open(path_, type);
      auto rounded = std::make_unique<SequenceModel>(config);
      rounded->parameters().initialise(engine_, 7);
      for (Param& param : rounded->parameters().params()) {
        const Value& value = packed->model().parameters().at(param.spec.name).value;
        std::vector<float> whole(static_cast<size_t>(param.spec.shape.numel()));
        packed->engine().to_host(value, whole.data(), DType::kF32);
        param.value = engine_.from_host(whole.data(), DType::kF32, param.spec.shape, DType::kF32);
      }
      save_model(*rounded, engine_, path_ + "-rounded");
      const std::vector<float> expected = logits_of(*LoadedModel::open(path_ + "-rounded"));
      const double step = packing_of(type) == CpuEngine::Packing::kBF16 ? 0x1p-9 : 0.005;
      EXPECT_LT(distance(logits_of(*packed), expected), step * std::sqrt(7.0)) << type;
      const std::vector<float> whole = logits_of(*LoadedModel::open(path_));
      EXPECT_THAT(whole, testing::Not(testing::Pointwise(testing::FloatNear(1e-5f), expected))) << type;
    }
  }
}

TEST_F(LoadedModelTest, PacksMatricesAndNothingElse) {
  save(tiny_config());
  const auto packed = LoadedModel::open(path_, "int8");
  for (const Param& param : packed->model().parameters().params()) {
    const Shape& shape = param.spec.shape;
    const int64_t bytes = param.spec.matrix ? kernels::packed_data_bytes(kernels::Packing::kI8, shape[0], shape[1]) +
                                                  kernels::packed_scale_bytes(kernels::Packing::kI8, shape[0], shape[1])
                                            : 4 * shape.numel();
    EXPECT_EQ(CpuEngine::bytes_held(param.value), bytes) << param.spec.name;
  }
  EXPECT_TRUE(packed->model().parameters().at("embeddings.word_embeddings.weight").spec.matrix);
  EXPECT_TRUE(packed->model().parameters().at("lm_head.weight").spec.matrix);
}

std::vector<char> packed_bytes(kernels::Packing packing, int64_t O, int64_t I, const float* whole) {
  const int64_t data = kernels::packed_data_bytes(packing, O, I), scales = kernels::packed_scale_bytes(packing, O, I);
  std::vector<char> bytes(static_cast<size_t>(data + scales));
  kernels::pack(packing, O, I, whole, bytes.data(), bytes.data() + data);
  return bytes;
}

// Two tables of 4.3 MiB, which are packed in two parts.
TEST_F(LoadedModelTest, KeepsNothingOfTheFileInMemoryThatItPacked) {
  const ModelConfig config = tiny_config(70001);
  save(config, false);
  const auto whole = tiny_model(engine_, config);
  for (const char* type : {"bf16", "int8", "int4"}) {
    const int64_t before = resident_file_bytes();
    const auto loaded = LoadedModel::open(path_, type);
    EXPECT_LT(resident_file_bytes() - before, int64_t{2 << 20}) << type;
    for (const char* name : {"embeddings.word_embeddings.weight", "lm_head.weight"}) {
      const kernels::PackedMatrix* matrix = packed(loaded->model().parameters().at(name).value);
      std::vector<char> held =
          packed_bytes(matrix->packing, matrix->O, matrix->I, floats(whole->parameters().at(name).value));
      const auto data = static_cast<size_t>(kernels::packed_data_bytes(matrix->packing, matrix->O, matrix->I));
      EXPECT_EQ(std::memcmp(matrix->data, held.data(), data), 0) << type << " " << name;
      if (matrix->scales != nullptr) {
        EXPECT_EQ(std::memcmp(matrix->scales, held.data() + data, held.size() - data), 0) << type << " " << name;
      }
    }
  }
}

TEST(PackingOf, NamesTheTypes) {
  EXPECT_EQ(packing_of("f32"), std::nullopt);
  EXPECT_EQ(packing_of("bf16"), CpuEngine::Packing::kBF16);
  EXPECT_EQ(packing_of("int8"), CpuEngine::Packing::kI8);
  EXPECT_EQ(packing_of("int4"), CpuEngine::Packing::kI4);
  EXPECT_THROW(packing_of("q8_0"), ConfigError);
}

}  // namespace
}  // namespace rebased
