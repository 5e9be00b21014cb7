// An encoder and a decoder put together from the parts that every model has, known as a Model alone.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cores/softmax_attention/softmax_attention.h"
#include "engine/reference/reference_engine.h"
#include "nn/models.h"
#include "nn/positions.h"
#include "support/gradients.h"

namespace rebased::testing {
namespace {

constexpr int64_t kRows = 2, kSource = 5, kTokens = 4, kVocab = 11;

// Queries of the stream, keys and values of Context::memory; every token of it is seen, and no padding.
class CrossAttention : public SequenceMixer {
 public:
  CrossAttention(const Scope& scope, int64_t channels)
      : SequenceMixer(scope.prefix()),
        q_(scope.child("q"), channels, channels, false),
        k_(scope.child("k"), channels, channels, false),
        v_(scope.child("v"), channels, channels, false),
        out_(scope.child("out"), channels, channels, true) {}

  MixerTraits traits() const override {
    return {.state = MixerTraits::StateKind::kNone, .prefix = MixerTraits::Prefix::kIndifferent};
  }
  std::vector<StateArray> state_arrays(int64_t) const override { return {}; }

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState*) override {
    const int64_t B = x.size(0), T = x.size(1), S = ctx.memory.size(1);
    const Layout layout = ctx.memory_layout != nullptr ? *ctx.memory_layout : Layout::whole(B, S);
    const Value key = positions_of(x, layout.positions()),
                query = positions_of(x, std::vector<int64_t>(static_cast<size_t>(B * T), S));
    return {out_(merge_heads(softmax_attention(split_heads(q_(x), 1), split_heads(k_(ctx.memory), 1),
                                               split_heads(v_(ctx.memory), 1), {}, {query, key, {}}))),
            {}};
  }

 private:
  Linear q_, k_, v_, out_;
};

ModelConfig side(const Json& mixer, int64_t layers) {
  return config_from({{"d_model", 8},
                      {"n_layers", layers},
                      {"vocab_size", kVocab},
                      {"embed_dropout", 0},
                      {"mixers", Json::array({mixer})}});
}

class EncoderDecoder : public Model {
 public:
  EncoderDecoder()
      : encoder_config_(side({{"type", "attention"}, {"causal", false}}, 1)),
        decoder_config_(side({{"type", "attention"}}, 2)),
        scope_(parameters(), "", 0.3, 0.3),
        source_(make_input(encoder_config_, scope_.child("source"))),
        encoder_(encoder_config_, scope_.child("encoder")),
        target_(make_input(decoder_config_, scope_.child("target"))),
        decoder_(decoder_config_, scope_.child("decoder"),
                 [](const Scope& scope, int64_t layer) -> std::unique_ptr<SequenceMixer> {
                   if (layer == 0) return nullptr;
                   return std::make_unique<CrossAttention>(scope, 8);
                 }),
        head_(make_head(decoder_config_, scope_, target_->table())) {}

  ModelLoss loss(const Batch& batch, const Context& ctx, ModelState* state = nullptr) override {
    const Batch read{.rows = batch.rows, .inputs = {{"tokens", batch.input("source")}}};
    const Layout lengths = Layout::of_lengths(batch.input("source_lengths").ids, kSource, Layout::Side::kBehind);
    Context inner = ctx;
    inner.layout = &lengths;
    Context outer = ctx;
    outer.memory = encoder_.forward(source_->embed(read, engine()), inner, nullptr, nullptr);
    outer.memory_layout = &lengths;
    const Head::Hidden hidden = [&](const std::vector<int64_t>& positions) {
      const Value h = decoder_.forward(target_->embed(batch, engine()), outer, state, nullptr);
      return select_rows(reshape(h, Shape({kRows * kTokens, 8})), positions);
    };
    return head_->loss({.B = kRows, .T = kTokens, .targets = batch.targets}, hidden);
  }

 private:
  ModelConfig encoder_config_, decoder_config_;
  Scope scope_;
  std::unique_ptr<Input> source_;
  Trunk encoder_;
  std::unique_ptr<Input> target_;
  Trunk decoder_;
  std::unique_ptr<Head> head_;
};

Batch pairs() {
  Batch batch = Batch::of_tokens(kRows, kTokens, {1, 2, 3, 4, 5, 6, 7, 8}, {2, 3, 4, -1, 6, 7, -1, 9});
  batch.inputs["source"] = {.shape = Shape({kRows, kSource}), .ids = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
  batch.inputs["source_lengths"] = {.shape = Shape({kRows}), .ids = {kSource, 3}};
  return batch;
}

TEST(EncoderDecoder, ReadsItsSourceAndNoPaddingOfIt) {
  EncoderDecoder whole;
  Model& model = whole;
  ReferenceEngine engine;
  model.parameters().initialise(engine, 4);
  Batch batch = pairs();
  const std::vector<float> before = model.loss(batch, {}).nll;
  ASSERT_EQ(before.size(), 6u);
  batch.inputs["source"].ids[9] = 0;  // behind the second row's length
  EXPECT_EQ(model.loss(batch, {}).nll, before);
  batch.inputs["source"].ids[7] = 0;
  const std::vector<float> changed = model.loss(batch, {}).nll;
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(changed[i], before[i]) << i;
  for (size_t i = 3; i < 6; ++i) EXPECT_NE(changed[i], before[i]) << i;
  // A batch of the second row alone says the same of it.
  EXPECT_EQ(batch.slice(1, 1).input("source").ids, (std::vector<int64_t>{6, 7, 0, 9, 0}));
}

TEST(EncoderDecoder, IsTrainedThroughBothSides) {
  EncoderDecoder model;
  ReferenceEngine engine;
  model.parameters().initialise(engine, 4);
  std::vector<Value> leaves;
  for (const Param& param : model.parameters().params()) {
    track(param.value);
    leaves.push_back(param.value);
  }
  const std::vector<Weighted> loss = {{model.loss(pairs(), {}).loss, HostArray::filled(Shape{}, 1)}};
  const auto found = gradients(loss, leaves);
  for (size_t i = 0; i < leaves.size(); ++i) {
    EXPECT_TRUE(found[i] && found[i]->max_abs() > 0) << model.parameters().params()[i].spec.name;
  }
}

}  // namespace
}  // namespace rebased::testing
