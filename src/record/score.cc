#include "record/score.h"

#include <fmt/format.h>

#include <charconv>

#include "record/text.h"

namespace rebased {
namespace {

constexpr const char *kStep = "step", *kScore = "score", *kValue = "value";

template <class Number>
bool read_number(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string describe(const Evaluation& evaluation) {
  return fmt::format("step {}, {} {:.4f}", evaluation.step, readable(evaluation.score.name), evaluation.score.value);
}

std::map<std::string, std::string> evaluation_metadata(const Evaluation& evaluation) {
  return {{kStep, std::to_string(evaluation.step)},
          {kScore, evaluation.score.name},
          {kValue, fmt::format("{}", evaluation.score.value)}};
}

std::optional<Evaluation> evaluation_in(const std::map<std::string, std::string>& metadata) {
  const auto step = metadata.find(kStep), score = metadata.find(kScore), value = metadata.find(kValue);
  if (step == metadata.end() || score == metadata.end() || value == metadata.end()) return std::nullopt;
  Evaluation evaluation{.step = 0, .score = {.name = score->second, .unit = ""}};
  if (!read_number(step->second, evaluation.step) || !read_number(value->second, evaluation.score.value)) {
    return std::nullopt;
  }
  return evaluation;
}

}  // namespace rebased
