#include "runtime/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "io/file.h"
#include "io/temporary_folder.h"
#include "runtime/fingerprint.h"
#include "runtime/session.h"
#include "runtime/tiny_model.h"

namespace rebased {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

// Layers of every kind of state: a fixed one, sums, a cache that grows and one that stops growing.
ModelConfig mixed_config(int64_t max_tokens = 0) {
  ModelConfig config = tiny_config();
  config.n_layers = 4;
  config.max_tokens = max_tokens;
  config.mixers.push_back(Json{{"type", "attention"}, {"num_heads", 2}});
  config.mixers.push_back(Json{{"type", "sliding_window"}, {"window", 5}});
  return model_config_from_json(options_to_json(config), "mixed model");
}

std::unique_ptr<LoadedModel> in_memory(const ModelConfig& config, std::optional<CpuEngine::Packing> packing = {}) {
  auto engine = std::make_unique<CpuEngine>(packing);
  auto model = tiny_model(*engine, config);
  return std::make_unique<LoadedModel>("tiny", std::move(engine), std::move(model), nullptr);
}

std::vector<int32_t> some_tokens(int n) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 37 + 11) % 257);
  return tokens;
}

class StateFiles : public testing::Test {
 protected:
  // Of a session that has read `n` tokens.
  SavedState saved(LoadedModel& model, int n) const {
    Session session(model);
    session.feed(some_tokens(n));
    return session.saved();
  }
  std::string written(const SavedState& state) const {
    write_state_file(path_, state);
    return path_;
  }
  std::string refusal(LoadedModel& model) const {
    try {
      Session(model).resume(StateFile::open(path_));
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }
  // The file with other metadata and tensors; the checksum is not made again.
  void rewrite(const std::map<std::string, std::string>& changed, const std::vector<TensorToWrite>& more = {}) const {
    const SafetensorsFile file = SafetensorsFile::open(path_);
    std::map<std::string, std::string> metadata = file.metadata();
    for (const auto& [key, value] : changed) {
      if (value.empty()) {
        metadata.erase(key);
      } else {
        metadata[key] = value;
      }
    }
    std::map<std::string, TensorToWrite> tensors;
    for (const auto& [name, view] : file.tensors()) tensors[name] = {name, view.dtype, view.shape, view.data.data()};
    for (const TensorToWrite& tensor : more) tensors[tensor.name] = tensor;
    std::vector<TensorToWrite> list;
    for (const auto& [name, tensor] : tensors) list.push_back(tensor);
    write_safetensors(path_, list, metadata);
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "a.state";
};

TEST_F(StateFiles, GoingOnIsNeverHavingStopped) {
  for (const int n : {1, 3, 5, 64, 70}) {
    const auto model = in_memory(mixed_config());
    Session whole(*model);
    whole.feed(some_tokens(n));
    write_state_file(path_, whole.saved());
    const auto other = in_memory(mixed_config());
    Session resumed(*other);
    resumed.feed(some_tokens(2));  // forgotten
    resumed.resume(StateFile::open(path_));
    EXPECT_EQ(resumed.tokens(), n);
    EXPECT_THAT(resumed.logits(), ElementsAreArray(whole.logits()));
    for (const int32_t token : some_tokens(6)) {
      EXPECT_THAT(resumed.step(token), ElementsAreArray(whole.step(token)));
    }
    EXPECT_EQ(resumed.state_bytes(), whole.state_bytes());
    EXPECT_THAT(resumed.feed(some_tokens(7)), ElementsAreArray(whole.feed(some_tokens(7))));
  }
}

TEST_F(StateFiles, SayWhatTheyHold) {
  const auto model = in_memory(mixed_config());
  SavedState state = saved(*model, 9);
  state.begun = {"\xe2\x82", 1};
  state.draws = 12345678901234567890u;
  const StateFile file = StateFile::open(written(state));
  EXPECT_EQ(file.model(), fingerprint(model->model()));
  EXPECT_THAT(file.positions(), testing::ElementsAre(9));
  EXPECT_EQ(file.begun().bytes, "\xe2\x82");
  EXPECT_EQ(file.begun().shown, 1u);
  EXPECT_EQ(file.draws(), 12345678901234567890u);
  EXPECT_EQ(file.logits()->shape, Shape({1, 257}));
  EXPECT_EQ(file.arrays().at("layers.2.k").shape, Shape({1, 64, 2, 8}));
  EXPECT_EQ(file.arrays().at("layers.3.key_pos").shape, Shape({1, 4}));
  EXPECT_EQ(folder_.names().size(), 1u);
}

TEST_F(StateFiles, HoldManyRows) {
  const auto model = in_memory(mixed_config());
  const std::vector<ModelState> both = {saved(*model, 3).state, saved(*model, 70).state};
  SavedState state{.model = fingerprint(model->model()), .state = ModelState::join(both)};
  const StateFile file = StateFile::open(written(state));
  EXPECT_THAT(file.positions(), testing::ElementsAre(3, 70));
  std::vector<const SequenceMixer*> mixers;
  for (const auto& block : model->model().blocks()) mixers.push_back(&block->mixer());
  EXPECT_EQ(file.state(model->engine(), mixers).bytes(), state.state.bytes());
  EXPECT_THAT(refusal(*model), HasSubstr("a.state: expected the state of one row, found 2"));
}

TEST_F(StateFiles, BelongToOneModel) {
  const auto model = in_memory(mixed_config());
  written(saved(*model, 4));
  EXPECT_EQ(refusal(*model), "");
  const auto packed = in_memory(mixed_config(), CpuEngine::Packing::kI8);
  EXPECT_THAT(refusal(*packed), HasSubstr("a.state: it is the state of another model, or of other weights"));
  ModelConfig other = mixed_config();
  other.mixers[3]["window"] = 6;
  EXPECT_THAT(refusal(*in_memory(other)), HasSubstr("another model"));
  other = mixed_config();
  other.final_norm_eps = 1e-3;
  EXPECT_THAT(refusal(*in_memory(other)), HasSubstr("another model"));
  const auto trained = in_memory(mixed_config());
  Param& gain = trained->model().parameters().at("ln_f.weight");
  gain.value = trained->engine().full(Shape({16}), DType::kF32, 1.0000001);
  EXPECT_THAT(refusal(*trained), HasSubstr("another model"));
  EXPECT_THAT(refusal(*trained), HasSubstr(fingerprint(trained->model())));
}

// An option that came later stands at its default, and so does not turn the model into another one.
TEST(Fingerprint, KnowsNoOptionAtItsDefault) {
  CpuEngine engine;
  ModelConfig config = tiny_config();
  const std::string whole = fingerprint(*tiny_model(engine, config));
  config.mixers[1].erase("norm_eps");
  EXPECT_EQ(fingerprint(*tiny_model(engine, config)), whole);
  config.mixers[1]["norm_eps"] = 1e-4;
  EXPECT_NE(fingerprint(*tiny_model(engine, config)), whole);
}

TEST_F(StateFiles, RefuseArraysThatDoNotFit) {
  const auto model = in_memory(mixed_config());
  const SavedState good = saved(*model, 9);
  auto refused = [&](const std::string& expected, const auto& change) {
    SavedState bad = good;
    change(bad);
    written(bad);
    EXPECT_THAT(refusal(*model), HasSubstr("a.state: " + expected));
  };
  CpuEngine& engine = model->engine();
  auto ids = [&](int64_t id) { return engine.full(Shape({1, 64}), DType::kI64, static_cast<double>(id)); };
  refused("layers.3.k is missing", [](SavedState& bad) { bad.state.layers.pop_back(); });
  refused("layers.4.k is not part of the model's state",
          [](SavedState& bad) { bad.state.layers.push_back(bad.state.layers[2]); });
  refused("layers.1.s: expected F32 [1, 2, 10, 8], found F32 [1, 2, 9, 8]", [&](SavedState& bad) {
    bad.state.layers[1]["s"] = engine.full(Shape({1, 2, 9, 8}), DType::kF32, 0);
  });
  refused("layers.2.k: expected F32 [1, 64, 2, 8], found F32 [1, 63, 2, 8]", [&](SavedState& bad) {
    bad.state.layers[2]["k"] = engine.full(Shape({1, 63, 2, 8}), DType::kF32, 0);
  });
  refused("layers.2.key_pos: expected I64 [1, 64], found F32 [1, 64]", [&](SavedState& bad) {
    bad.state.layers[2]["key_pos"] = engine.full(Shape({1, 64}), DType::kF32, 0);
  });
  refused("layers.2.key_pos: expected positions of the 9 tokens that row 0 has seen, found 9",
          [&](SavedState& bad) { bad.state.layers[2]["key_pos"] = ids(9); });
  refused("layers.2.key_pos: expected positions of the 9 tokens that row 0 has seen, found -2",
          [&](SavedState& bad) { bad.state.layers[2]["key_pos"] = ids(-2); });
  refused("layers.3.k: expected F32 [1, 4, 1, 16], found F32 [1, 5, 1, 16]", [&](SavedState& bad) {
    bad.state.layers[3]["k"] = engine.full(Shape({1, 5, 1, 16}), DType::kF32, 0);
  });
  refused("layers.1.z: expected finite numbers, found infinity or NaN", [&](SavedState& bad) {
    bad.state.layers[1]["z"] = engine.full(Shape({1, 2, 10}), DType::kF32, std::numeric_limits<float>::infinity());
  });
  refused("logits: expected [1, 257], found none", [](SavedState& bad) { bad.logits.clear(); });
  refused("logits: expected [1, 257], found [1, 9]", [](SavedState& bad) { bad.logits.resize(9); });
}

TEST_F(StateFiles, RefuseMoreTokensThanTheModelTakes) {
  const auto model = in_memory(mixed_config(12));
  written(saved(*model, 12));
  EXPECT_EQ(refusal(*model), "");
  SavedState longer = saved(*model, 12);
  for (MixerState& layer : longer.state.layers) layer.positions = {13};
  written(longer);
  EXPECT_THAT(refusal(*model), HasSubstr("it has seen 13 tokens, more than the 12 that the model can take"));
}

TEST_F(StateFiles, ARefusalChangesNothing) {
  const auto model = in_memory(mixed_config());
  SavedState bad = saved(*model, 9);
  bad.state.layers.pop_back();
  written(bad);
  Session session(*model), undisturbed(*model);
  session.feed(some_tokens(5));
  undisturbed.feed(some_tokens(5));
  EXPECT_THROW(session.resume(StateFile::open(path_)), FormatError);
  EXPECT_EQ(session.tokens(), 5);
  EXPECT_THAT(session.step(3), ElementsAreArray(undisturbed.step(3)));
  EXPECT_THROW(Session(*model).saved(), ShapeError);
}

TEST_F(StateFiles, RefuseOtherFiles) {
  const auto model = in_memory(tiny_config());
  auto refused = [&](const std::string& expected, const std::map<std::string, std::string>& changed,
                     const std::vector<TensorToWrite>& more = {}) {
    written(saved(*model, 9));
    rewrite(changed, more);
    EXPECT_THAT(refusal(*model), HasSubstr("a.state: " + expected));
  };
  refused("expected a state file, whose metadata say format rebased-state, found no format", {{"format", ""}});
  refused("expected a state file, whose metadata say format rebased-state, found 'pt'", {{"format", "pt"}});
  refused("expected version 1 of state files, found '2'", {{"version", "2"}});
  refused("its metadata have no 'model'", {{"model", ""}});
  refused("model: expected 16 hexadecimal digits, found '12'", {{"model", "12"}});
  refused("draws: expected a number from 0, found '-1'", {{"draws", "-1"}});
  refused("draws: expected a number from 0, found '18446744073709551616'", {{"draws", "18446744073709551616"}});
  refused("its metadata have an unknown key 'more'", {{"more", "1"}});
  refused("it is damaged: expected the checksum 0123456789abcdef, found ", {{"checksum", "0123456789abcdef"}});
  const std::vector<int64_t> numbers = {-1, 5};
  const std::vector<float> floats(600);
  auto tensor = [&](const char* name, DType dtype, const Shape& shape, const void* data) {
    return std::vector<TensorToWrite>{{name, dtype, shape, data}};
  };
  refused("positions: expected 0 to 9007199254740992, found -1", {},
          tensor("positions", DType::kI64, Shape({2}), numbers.data()));
  refused("positions: expected I64 of at least one row, found I64 [0]", {},
          tensor("positions", DType::kI64, Shape({0}), nullptr));
  refused("positions: expected I64 of at least one row, found I64 [1, 2]", {},
          tensor("positions", DType::kI64, Shape({1, 2}), numbers.data()));
  refused("shown: expected at most the 0 bytes that have begun, found 1", {{"shown", "1"}});
  refused("begun: expected U8 of at most 3 bytes, found U8 [4]", {},
          tensor("begun", DType::kU8, Shape({4}), numbers.data()));
  refused("layers.0.conv: expected 1 rows, found [2, 3]", {},
          tensor("layers.0.conv", DType::kF32, Shape({2, 3}), floats.data()));
  refused("layers.0.conv: expected floats or I64, found U8", {},
          tensor("layers.0.conv", DType::kU8, Shape({1, 3}), floats.data()));
  refused("logits: expected F32 [1, V], found F32 [1, 2, 3]", {},
          tensor("logits", DType::kF32, Shape({1, 2, 3}), floats.data()));
  for (const char* name : {"layers", "layers.", "layers.x.k", "layers.01.k", "layers.1", "layers.1.", "layers.65536.k",
                           "layers.-1.k", "other"}) {
    refused(std::string(name) + " is not the name of an array of a state", {},
            tensor(name, DType::kF32, Shape({1, 3}), floats.data()));
  }
  refused("it is damaged: ", {}, tensor("layers.0.conv", DType::kF32, Shape({1, 2, 16}), floats.data()));
}

TEST_F(StateFiles, RefuseDamage) {
  const auto model = in_memory(tiny_config());
  written(saved(*model, 9));
  const std::string bytes = read_file(path_);
  for (size_t at = 0; at < bytes.size(); at += 61) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    write_file_atomic(path_, damaged);
    EXPECT_NE(refusal(*model), "") << at;
    write_file_atomic(path_, bytes.substr(0, at));
    EXPECT_NE(refusal(*model), "") << at;
  }
}

TEST_F(StateFiles, AreNotWrittenWhereLayersDisagree) {
  const auto model = in_memory(tiny_config());
  SavedState bad = saved(*model, 9);
  bad.state.layers[1].positions = {8};
  EXPECT_THROW(write_state_file(path_, bad), ShapeError);
  EXPECT_THROW(write_state_file(folder_ / "missing/a.state", saved(*model, 1)), IoError);
  EXPECT_TRUE(folder_.names().empty());
}

}  // namespace
}  // namespace rebased
