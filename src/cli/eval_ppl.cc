#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/eval.h"
#include "cli/verbs.h"
#include "config/limits.h"
#include "eval/perplexity.h"
#include "io/standard_streams.h"
#include "record/progress.h"
#include "record/table.h"
#include "record/text.h"
#include "runtime/loaded_model.h"

namespace rebased {
namespace {

struct EvalPplArguments {
  std::string model;
  std::optional<std::string> weights;
  std::vector<std::string> files;
  int64_t window = PerplexityOptions{}.window, batch = PerplexityOptions{}.batch;
  bool carry = false, json = false;
};

struct Measured {
  std::string file;
  PerplexityScore score;
};

PerplexityScore total_of(const std::vector<Measured>& results) {
  PerplexityScore total;
  for (const Measured& result : results) {
    total.predicted += result.score.predicted;
    total.nll += result.score.nll;
    total.state_bytes = std::max(total.state_bytes, result.score.state_bytes);
  }
  return total;
}

std::string table(const std::vector<Measured>& results) {
  constexpr Align kRight = Align::kRight;
  Table rows(
      {{"file"}, {"predicted bytes", kRight}, {"bits/byte", kRight}, {"perplexity", kRight}, {"state bytes", kRight}});
  auto add = [&](const std::string& file, const PerplexityScore& score) {
    rows.add_row({file, fmt::format("{}", score.predicted), format_value(score.bits_per_id()),
                  format_value(score.perplexity()), fmt::format("{}", score.state_bytes)});
  };
  for (const Measured& result : results) add(result.file, result.score);
  if (results.size() > 1) add("all", total_of(results));
  return rows.text();
}

Json to_json(const PerplexityScore& score) {
  return {{"predicted_bytes", score.predicted},
          {"bits_per_byte", score.bits_per_id()},
          {"perplexity", score.perplexity()},
          {"state_bytes", score.state_bytes}};
}

std::string results_json(const std::string& model, const std::vector<Measured>& results) {
  Json document = {{"model", model}};
  document.update(to_json(total_of(results)));
  document["files"] = Json::array();
  for (const Measured& result : results) {
    Json row = {{"file", result.file}};
    row.update(to_json(result.score));
    document["files"].push_back(row);
  }
  return json_text(document, 2) + "\n";
}

void eval_ppl(const EvalPplArguments& arguments) {
  const auto model = LoadedModel::open(arguments.model, arguments.weights);
  if (model->text_tokenizer().name() != "byte") {
    throw ConfigError("{}: its tokenizer is '{}', and bits per byte are measured for byte models", arguments.model,
                      model->text_tokenizer().name());
  }
  std::vector<ByteText> texts;
  for (const std::string& file : arguments.files) {
    const auto mapped = MappedFile::open(file);
    texts.push_back(ByteText(file, {{mapped->bytes(), mapped}}));
  }
  Progress progress(progress_options("bytes"));
  const PerplexityOptions options{.window = arguments.window,
                                  .carry_state = arguments.carry,
                                  .batch = arguments.batch,
                                  .progress = [&](int64_t done, int64_t) { progress.update(done); }};
  for (const ByteText& text : texts) check_perplexity(model->model(), text, options);
  std::vector<Measured> results;
  for (const ByteText& text : texts) {
    progress.begin(text.name(), text.size() - 1);
    results.push_back({text.name(), evaluate_perplexity(model->model(), model->engine(), text, options)});
    progress.finish();
  }
  write_output(arguments.json ? results_json(arguments.model, results) : table(results));
}

}  // namespace

void add_eval_ppl(CommandLine& eval) {
  CommandLine& verb = eval.verb("ppl", "bits per byte and perplexity of a byte model on text files");
  auto arguments = std::make_shared<EvalPplArguments>();
  verb.about("Every byte of a file but its first is predicted once, in windows from its beginning to its end.");
  verb.add("MODEL", arguments->model, "", "model folder with a byte tokenizer");
  verb.add("FILE", arguments->files, "", "text files, each measured on its own");
  verb.add("--window", arguments->window, between(1, kMostTokens), "N", "bytes a window");
  verb.add("--carry", arguments->carry, "", "continue each window from the state that the one before left");
  verb.add("--batch", arguments->batch, between(1, kMostRows), "N", "windows a pass, without --carry");
  verb.add("--weights", arguments->weights, "TYPE", kWeightsHelp);
  verb.add("--json", arguments->json, "", "JSON instead of a table");
  verb.example("rebased eval ppl model text.txt --window 256");
  verb.action([arguments] { eval_ppl(*arguments); });
}

}  // namespace rebased
