#include "runtime/generate.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "cli/verbs.h"
#include "config/limits.h"
#include "io/file.h"
#include "io/standard_streams.h"

namespace rebased {
namespace {

struct GenerateArguments {
  std::string model;
  std::optional<std::string> weights;
  std::optional<std::string> prompt, prompt_file;
  std::optional<std::string> state_in, state_out;
  int64_t tokens = GenerateOptions{}.max_tokens;
  bool greedy = false, no_echo = false, quiet = false;
  std::shared_ptr<Json> sampling;
};

std::string read_prompt(const GenerateArguments& arguments) {
  if (arguments.prompt && arguments.prompt_file) {
    throw UsageError("give the text to continue with either --prompt or --prompt-file");
  }
  if (arguments.prompt) return *arguments.prompt;
  if (arguments.prompt_file) return read_file(*arguments.prompt_file);
  if (arguments.state_in) return "";
  throw UsageError("give the text to continue with either --prompt or --prompt-file, or go on from --state-in");
}

SamplingOptions sampling_of(const GenerateArguments& arguments) {
  auto options = options_from_json<SamplingOptions>(*arguments.sampling, "");
  const bool greedy = arguments.greedy || options.temperature == 0;
  if (arguments.greedy && arguments.sampling->contains("temperature")) {
    throw UsageError("--temperature cannot take effect with --greedy");
  }
  for (const auto& [key, flag] : {std::pair{"top_k", "--top-k"}, {"top_p", "--top-p"}, {"seed", "--seed"}}) {
    if (greedy && arguments.sampling->contains(key)) {
      throw UsageError("{} cannot take effect where the likeliest token is always taken", flag);
    }
  }
  if (greedy) options.temperature = 0;
  return options;
}

void report(const GenerateResult& result) {
  log_info("prompt {} tokens, {:.0f} tokens/s; text {} tokens, {:.0f} tokens/s{}; state {} bytes", result.prompt_tokens,
           result.prefill_rate(), result.new_tokens, result.decode_rate(),
           result.stop == GenerateResult::Stop::kEndOfText ? ", then the end of the text" : "", result.state_bytes);
}

void generate(const GenerateArguments& arguments) {
  const std::string prompt = read_prompt(arguments);
  const SamplingOptions sampling = sampling_of(arguments);
  if (arguments.state_out) AtomicFile probe(*arguments.state_out);  // what cannot be written is known before the text
  const auto model = LoadedModel::open(arguments.model, arguments.weights);
  Session session(*model);
  GenerateOptions options{
      .max_tokens = arguments.tokens, .echo = !arguments.no_echo, .goes_on = arguments.state_out.has_value()};
  uint64_t draws = 0;
  if (arguments.state_in) {
    const StateFile file = StateFile::open(*arguments.state_in);
    session.resume(file);
    options.begun = file.begun();
    draws = file.draws();
  }
  Sampler sampler(sampling, draws);
  const GenerateResult result = generate(session, prompt, sampler, options, write_output);
  if (arguments.state_out) {
    SavedState saved = session.saved();
    saved.begun = result.begun;
    saved.draws = sampler.draws();
    write_state_file(*arguments.state_out, saved);
  }
  if (::isatty(STDOUT_FILENO) != 0) write_output("\n");
  if (!arguments.quiet) report(result);
}

}  // namespace

void add_generate(CommandLine& root) {
  CommandLine& verb = root.verb("generate", "continue a text with a model");
  auto arguments = std::make_shared<GenerateArguments>();
  verb.about(
      "The text streams to stdout as it grows, in UTF-8: U+FFFD stands for bytes that are none.\n"
      "Speed and the size of the state go to stderr.\n"
      "With --state-out the text may go on later: a run with --state-in of that file, the same model and flags\n"
      "writes what this one would have written next. A --prompt is then read behind the earlier text.");
  verb.add("MODEL", arguments->model, "", "model folder with a tokenizer.json");
  verb.add("-p,--prompt", arguments->prompt, "TEXT", "text to continue");
  verb.add("--prompt-file", arguments->prompt_file, "FILE", "file or pipe with the text to continue");
  verb.add("--state-in", arguments->state_in, "FILE", "go on from this state, with or without a prompt");
  verb.add("--state-out", arguments->state_out, "FILE", "write the state behind the text, to go on from later");
  verb.add("-n,--tokens", arguments->tokens, between(0, kMostTokens), "N",
           "most new tokens; an end of text stops earlier");
  verb.add("--greedy", arguments->greedy, "", "always the likeliest token: the same as --temperature 0");
  arguments->sampling = verb.add_options(options_help<SamplingOptions>());
  verb.add("--weights", arguments->weights, "TYPE", kWeightsHelp);
  verb.add("--no-echo", arguments->no_echo, "", "leave the prompt out: its bytes and the output are together one text");
  verb.add("--quiet", arguments->quiet, "", "no statistics");
  verb.example("rebased generate model --prompt-file text.txt --tokens 0 --no-echo --state-out text.state");
  verb.example("rebased generate model --prompt \"To be\" --tokens 64 --temperature 0.8 --top-k 40");
  verb.action([arguments] { generate(*arguments); });
}

}  // namespace rebased
