#include "train/text_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/rng.h"
#include "data/ngram.h"
#include "data/text_shards.h"
#include "eval/perplexity.h"
#include "io/file.h"
#include "text/byte_tokenizer.h"
#include "train/recipe_size.h"

namespace rebased {
namespace {

const std::vector<Score> kScores = {{.name = "bits_per_byte", .unit = "bits/byte"},
                                    {.name = "validation_loss", .unit = "nats"}};

TextShards open_shards(const DataRecipe& data) {
  return open_text({.train = data.text,
                    .validation = data.validation_text,
                    .validation_fraction = data.validation_fraction,
                    .extensions = data.extensions});
}

class TextTraining : public TrainingData {
 public:
  explicit TextTraining(const Recipe& recipe)
      : recipe_(recipe), shards_(open_shards(recipe.data)), validation_(shards_.validation) {
    const int64_t limit = recipe.data.validation_bytes;
    if (limit > 0 && limit < validation_.size()) validation_ = validation_.part(validation_.name(), 0, limit);
    const int64_t T = recipe.data.seq_len, predicted = std::max<int64_t>(validation_.size() - 1, 0);
    check_evaluation_size(recipe, predicted / T + (predicted % T > 0 ? 1 : 0), validation_.name());
  }

  Batch batch(int64_t step) override {
    const int64_t B = recipe_.train.batch_size, T = recipe_.data.seq_len;
    const auto seed = derive_key(static_cast<uint64_t>(recipe_.seed), "windows");
    const std::vector<int32_t> ids = sample_windows(shards_.train, B, T, seed, step);
    std::vector<int64_t> inputs, targets;
    for (int64_t b = 0; b < B; ++b) {
      const auto window = std::span(ids).subspan(static_cast<size_t>(b * (T + 1)), static_cast<size_t>(T + 1));
      inputs.insert(inputs.end(), window.begin(), window.end() - 1);
      targets.insert(targets.end(), window.begin() + 1, window.end());
    }
    return Batch::of_tokens(B, T, std::move(inputs), std::move(targets));
  }

  std::vector<Score> evaluate(SequenceModel& model, Engine& engine) override {
    const PerplexityScore found = evaluate_perplexity(
        model, engine, validation_, {.window = recipe_.data.seq_len, .batch = recipe_.train.eval_batch});
    std::vector<Score> scores = kScores;
    scores[0].value = found.bits_per_id();
    scores[1].value = found.nll / static_cast<double>(found.predicted);
    return scores;
  }

  std::string summary() const override {
    return fmt::format("text: {} bytes to learn from, {} to validate on", shards_.train.size(), validation_.size());
  }

  std::vector<Baseline> baselines() override {
    return {{"order-2 byte n-gram", NgramModel(shards_.train).bits_per_byte(validation_)}};
  }

  std::vector<DataFile> files() const override {
    std::vector<DataFile> files;
    for (const TextFile& text : shards_.files) {
      const std::span<const std::byte> bytes = text.file->bytes();
      files.push_back({text.path, static_cast<int64_t>(bytes.size()), fmt::format("{:016x}", xxh64(bytes))});
    }
    return files;
  }

  std::unique_ptr<Tokenizer> tokenizer() const override { return std::make_unique<ByteTokenizer>(); }

 private:
  Recipe recipe_;
  TextShards shards_;
  ByteText validation_;
};

class TextSource : public DataSource {
 public:
  std::string_view name() const override { return "text"; }
  bool is_named_by(const DataRecipe& data) const override { return !data.text.empty(); }

  DataSizes sizes(const DataRecipe& data) const override {
    return {.vocabulary = ByteTokenizer().vocab_size(),
            .train_tokens = data.seq_len,
            .test_tokens = data.seq_len,
            .tests_with_state = true};
  }

  std::vector<Score> scores() const override { return kScores; }
  void check_files(const Recipe& recipe) const override { open(recipe); }

  std::unique_ptr<TrainingData> open(const Recipe& recipe) const override {
    return std::make_unique<TextTraining>(recipe);
  }
};

}  // namespace

const DataSource& text_source() {
  static const TextSource source;
  return source;
}

}  // namespace rebased
