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
  int64_t tokens = GenerateOptions{}.max_tokens;
  bool greedy = false, no_echo = false, quiet = false;
  std::shared_ptr<Json> sampling;
};

std::string read_prompt(const GenerateArguments& arguments) {
  if (arguments.prompt.has_value() == arguments.prompt_file.has_value()) {
    throw UsageError("give the text to continue with either --prompt or --prompt-file");
  }
  return arguments.prompt ? *arguments.prompt : read_file(*arguments.prompt_file);
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
  Sampler sampler(sampling_of(arguments));
  const auto model = LoadedModel::open(arguments.model, arguments.weights);
  Session session(*model);
  const GenerateOptions options{.max_tokens = arguments.tokens, .echo = !arguments.no_echo};
  const GenerateResult result = generate(session, prompt, sampler, options, write_output);
  if (::isatty(STDOUT_FILENO) != 0) write_output("\n");
  if (!arguments.quiet) report(result);
}

}  // namespace

void add_generate(CommandLine& root) {
  CommandLine& verb = root.verb("generate", "continue a text with a model");
  auto arguments = std::make_shared<GenerateArguments>();
  verb.about(
      "The text streams to stdout as it grows, in UTF-8: U+FFFD stands for bytes that are none.\n"
      "Speed and the size of the state go to stderr.");
  verb.add("MODEL", arguments->model, "", "model folder with a tokenizer.json");
  verb.add("-p,--prompt", arguments->prompt, "TEXT", "text to continue");
  verb.add("--prompt-file", arguments->prompt_file, "FILE", "file or pipe with the text to continue");
  verb.add("-n,--tokens", arguments->tokens, between(0, kMostTokens), "N",
           "most new tokens; an end of text stops earlier");
  verb.add("--greedy", arguments->greedy, "", "always the likeliest token: the same as --temperature 0");
  arguments->sampling = verb.add_options(options_help<SamplingOptions>());
  verb.add("--weights", arguments->weights, "TYPE", kWeightsHelp);
  verb.add("--no-echo", arguments->no_echo, "", "leave the prompt out: its bytes and the output are together one text");
  verb.add("--quiet", arguments->quiet, "", "no statistics");
  verb.example("rebased generate model --prompt \"To be\" --tokens 64 --temperature 0.8 --top-k 40");
  verb.action([arguments] { generate(*arguments); });
}

}  // namespace rebased
