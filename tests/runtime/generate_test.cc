#include "runtime/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/tiny_model.h"
#include "text/utf8_stream.h"

namespace rebased {
namespace {

constexpr float kCertain = 100;  // e^-100: nothing else is ever drawn

// A byte model that gives `answer` whatever it reads; negative: untrained.
std::unique_ptr<LoadedModel> byte_model(int32_t answer, int64_t vocab_size = 257, int64_t max_tokens = 0) {
  ModelConfig config = tiny_config(vocab_size);
  config.max_tokens = max_tokens;
  auto engine = std::make_unique<CpuEngine>();
  auto model = tiny_model(*engine, config);
  if (answer >= 0) answer_always(*model, *engine, answer, kCertain);
  return std::make_unique<LoadedModel>("tiny", std::move(engine), std::move(model), std::make_unique<ByteTokenizer>());
}

struct Generated {
  GenerateResult result;
  std::vector<std::string> pieces;
  std::string text;
};

Generated run(Session& session, std::string_view prompt, const GenerateOptions& options,
              SamplingOptions sampling = {}) {
  Sampler sampler(sampling);
  Generated out;
  out.result = generate(session, prompt, sampler, options, [&](std::string_view text) {
    out.pieces.emplace_back(text);
    out.text += text;
  });
  return out;
}

Generated run(LoadedModel& model, std::string_view prompt, const GenerateOptions& options,
              SamplingOptions sampling = {}) {
  Session session(model);
  return run(session, prompt, options, sampling);
}

TEST(Generate, StreamsOnePieceAToken) {
  const auto model = byte_model('x');
  const auto out = run(*model, "ab", {.max_tokens = 3});
  EXPECT_THAT(out.pieces, testing::ElementsAre("x", "x", "x"));
  EXPECT_EQ(out.result.prompt_tokens, 2);
  EXPECT_EQ(out.result.new_tokens, 3);
  EXPECT_EQ(out.result.stop, GenerateResult::Stop::kMaxTokens);
  EXPECT_EQ(out.result.state_bytes, model->model().state_bytes(1, 4));  // the last token was not fed
  EXPECT_GT(out.result.prefill_rate(), 0);
  EXPECT_GT(out.result.decode_rate(), 0);
}

TEST(Generate, EchoesWhenAsked) {
  const auto model = byte_model('x');
  EXPECT_EQ(run(*model, "ab", {.max_tokens = 2, .echo = true}).text, "abxx");
  EXPECT_EQ(run(*model, "ab", {.max_tokens = 0, .echo = true}).text, "ab");
}

TEST(Generate, GreedyTextIsWhatStepByStepArgmaxSays) {
  const auto model = byte_model(-1);
  const auto out = run(*model, "To be", {.max_tokens = 12, .stop_at_end_of_text = false}, {.temperature = 0});
  Session session(*model);
  std::span<const float> logits = session.feed(model->text_tokenizer().encode("To be"));
  std::vector<int32_t> tokens;
  for (int i = 0; i < 12; ++i) {
    tokens.push_back(static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    logits = session.step(tokens.back());
  }
  Utf8Stream utf8;
  std::string expected = utf8.feed(model->text_tokenizer().decode(tokens));
  expected += utf8.finish();
  EXPECT_EQ(out.text, expected);
}

TEST(Generate, SeedsDecide) {
  const auto model = byte_model(-1);
  const GenerateOptions options{.max_tokens = 20, .stop_at_end_of_text = false};
  EXPECT_EQ(run(*model, "a", options, {.seed = 3}).text, run(*model, "a", options, {.seed = 3}).text);
  EXPECT_NE(run(*model, "a", options, {.seed = 3}).text, run(*model, "a", options, {.seed = 4}).text);
}

TEST(Generate, StopsAtTheEndOfTheText) {
  const auto model = byte_model(ByteTokenizer::kEndOfText);
  const auto stopped = run(*model, "ab", {.max_tokens = 5});
  EXPECT_EQ(stopped.text, "");
  EXPECT_EQ(stopped.result.new_tokens, 0);
  EXPECT_EQ(stopped.result.stop, GenerateResult::Stop::kEndOfText);
  const auto going_on = run(*model, "ab", {.max_tokens = 5, .stop_at_end_of_text = false});
  EXPECT_EQ(going_on.result.new_tokens, 5);
  EXPECT_EQ(going_on.result.stop, GenerateResult::Stop::kMaxTokens);
}

TEST(Generate, TextIsAlwaysUtf8) {
  const auto cut = byte_model(0xe2);
  EXPECT_EQ(run(*cut, "a", {.max_tokens = 2}).text, "\uFFFD\uFFFD");
  const auto continued = byte_model(0xac);  // completes the euro sign that the prompt begins
  EXPECT_EQ(run(*continued, "\xe2\x82", {.max_tokens = 1, .echo = true}).text, "\u20AC");
}

// Prompt and output together are the text.
TEST(Generate, WithoutEchoTheLastCharacterOfThePromptGoesOn) {
  const auto continued = byte_model(0xac);
  EXPECT_EQ(run(*continued, "\xe2\x82", {.max_tokens = 1}).text, "\xac");
  EXPECT_EQ(run(*continued, "\xe2\x82", {.max_tokens = 2}).text, "\xac\uFFFD");
  EXPECT_EQ(run(*continued, "\xe2", {.max_tokens = 1}).text, "\xac");  // no U+FFFD: the prompt has the beginning
  EXPECT_EQ(run(*continued, "\xe2\x82\xac", {.max_tokens = 1}).text, "\uFFFD");
  EXPECT_EQ(run(*continued, "\xff", {.max_tokens = 1}).text, "\uFFFD");
  EXPECT_EQ(run(*continued, "\xe2\x82", {.max_tokens = 0}).text, "");
  EXPECT_EQ(run(*byte_model('x'), "\xe2\x82", {.max_tokens = 1}).text, "x");
}

TEST(Generate, ZeroBytesAreBytes) {
  const auto model = byte_model(0);
  const std::string prompt("a\0b", 3);
  const auto out = run(*model, prompt, {.max_tokens = 1, .echo = true});
  EXPECT_EQ(out.result.prompt_tokens, 3);
  EXPECT_EQ(out.text, prompt + '\0');
}

TEST(Generate, DrawsOnlyWhatTheTokenizerKnows) {
  const auto model = byte_model(299, 300);
  EXPECT_EQ(run(*model, "a", {.max_tokens = 30, .stop_at_end_of_text = false}).result.new_tokens, 30);
}

TEST(Generate, ContinuesASession) {
  const auto model = byte_model('x');
  Session session(*model);
  run(session, "ab", {.max_tokens = 1});
  EXPECT_EQ(run(session, "", {.max_tokens = 2}).text, "xx");
}

TEST(Generate, RefusesBeforeItComputes) {
  const auto model = byte_model('x', 257, 8);
  Session session(*model);
  EXPECT_THROW(run(session, "", {.max_tokens = 1}), ConfigError);
  EXPECT_THROW(run(session, "a", {.max_tokens = -1}), ConfigError);
  EXPECT_THROW(run(session, "abcd", {.max_tokens = 6}), ShapeError);
  EXPECT_EQ(session.tokens(), 0);
  EXPECT_EQ(run(session, "abcd", {.max_tokens = 5}).text, "xxxxx");
}

TEST(Generate, ASinkMayEndIt) {
  const auto model = byte_model('x');
  Session session(*model);
  Sampler sampler({});
  auto refuse = [](std::string_view) { throw IoError("the reader is gone"); };
  EXPECT_THROW(generate(session, "ab", sampler, {.max_tokens = 3}, refuse), IoError);
}

}  // namespace
}  // namespace rebased
