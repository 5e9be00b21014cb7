#include "runtime/generate.h"

#include <chrono>

#include "base/error.h"

namespace rebased {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double rate(int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

void check_request(const Session& session, size_t prompt_tokens, const GenerateOptions& options) {
  if (options.max_tokens < 0) throw ConfigError("max_tokens: expected at least 0, found {}", options.max_tokens);
  if (prompt_tokens == 0 && session.logits().empty()) {
    throw ConfigError("the prompt is empty: a model continues a text of at least one token");
  }
  const int64_t fed = options.goes_on ? options.max_tokens : std::max<int64_t>(0, options.max_tokens - 1);
  session.check_room(static_cast<int64_t>(prompt_tokens) + fed);
}

}  // namespace

double GenerateResult::prefill_rate() const { return rate(prompt_tokens, prefill_seconds); }
double GenerateResult::decode_rate() const { return rate(new_tokens, decode_seconds); }

GenerateResult generate(Session& session, std::string_view prompt, Sampler& sampler, const GenerateOptions& options,
                        const TextSink& on_text) {
  const Tokenizer& tokenizer = session.model().text_tokenizer();
  const std::vector<int32_t> tokens = tokenizer.encode(prompt);
  check_request(session, tokens.size(), options);
  Utf8Stream utf8;
  auto stream = [&](const std::string& text) {
    if (!text.empty()) on_text(text);
  };
  utf8.resume(options.begun);
  GenerateResult result{.prompt_tokens = static_cast<int64_t>(tokens.size())};
  if (options.echo) {
    stream(utf8.feed(prompt));
  } else if (!prompt.empty()) {
    stream(utf8.finish());  // the prompt is no part of the output: a character before it ends
    utf8.pass_over(prompt);
  }
  const auto prefill_start = Clock::now();
  if (!tokens.empty()) session.feed(tokens);
  result.prefill_seconds = seconds_since(prefill_start);

  const auto decode_start = Clock::now();
  while (result.new_tokens < options.max_tokens) {
    const int32_t token = sampler.sample(session.logits().first(static_cast<size_t>(tokenizer.vocab_size())));
    if (options.stop_at_end_of_text && token == tokenizer.end_of_text()) {
      result.stop = GenerateResult::Stop::kEndOfText;
      break;
    }
    stream(utf8.feed(tokenizer.decode(std::span(&token, 1))));
    if (++result.new_tokens < options.max_tokens || options.goes_on) session.step(token);
  }
  result.decode_seconds = seconds_since(decode_start);
  if (options.goes_on) {
    result.begun = utf8.begun();
  } else {
    stream(utf8.finish());
  }
  result.state_bytes = session.state_bytes();
  return result;
}

}  // namespace rebased
