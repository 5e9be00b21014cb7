#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/sampling.h"
#include "runtime/session.h"
#include "text/utf8_stream.h"

namespace rebased {

struct GenerateOptions {
  int64_t max_tokens = 128;         // new tokens
  bool stop_at_end_of_text = true;  // where the tokenizer has such an id
  bool echo = false;                // the prompt is streamed too
  bool goes_on = false;             // the session is to be saved: the last token is fed to it as well
  Utf8Stream::Begun begun{};        // where earlier text ended inside a character (GenerateResult::begun)
};

struct GenerateResult {
  enum class Stop : uint8_t { kMaxTokens, kEndOfText };

  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;  // an end of text that was drawn is not counted
  Stop stop = Stop::kMaxTokens;
  double prefill_seconds = 0;
  double decode_seconds = 0;  // from the first choice to the last
  int64_t state_bytes = 0;    // of the session after the last token
  Utf8Stream::Begun begun{};  // of a text that goes on: the character that it ended inside of, which is held back

  double prefill_rate() const;  // tokens a second; 0 when nothing was timed
  double decode_rate() const;
};

// Text as it grows: valid UTF-8, possibly cut between characters but never inside of one. Where the prompt is not
// streamed and ends inside a character, the first bytes are those that go on with it.
using TextSink = std::function<void(std::string_view text)>;

// Continues `session` with the prompt and then with tokens that the sampler draws, streaming their text. Only ids that
// the tokenizer knows are drawn, and the last one drawn is not fed to the session unless the text goes on. Throws
// ConfigError for a model without tokenizer, an empty prompt in a session that has seen nothing, or a negative
// max_tokens; ShapeError, before anything is computed, when prompt and new tokens are more than the model can take; and
// whatever `on_text` throws.
GenerateResult generate(Session& session, std::string_view prompt, Sampler& sampler, const GenerateOptions& options,
                        const TextSink& on_text);

}  // namespace rebased
