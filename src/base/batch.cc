#include "base/batch.h"

#include <algorithm>

#include "base/error.h"

namespace rebased {
namespace {

template <class Number>
std::vector<Number> rows_of(const std::vector<Number>& all, int64_t rows, int64_t begin, int64_t count) {
  const int64_t width = static_cast<int64_t>(all.size()) / rows;
  return {all.begin() + begin * width, all.begin() + (begin + count) * width};
}

Layout rows_of(const Layout& layout, int64_t begin, int64_t count) {
  std::vector<Layout::Document> documents;
  for (Layout::Document d : layout.documents()) {
    if (d.row < begin || d.row >= begin + count) continue;
    d.row -= begin;
    documents.push_back(d);
  }
  return {count, layout.tokens(), std::move(documents)};
}

}  // namespace

Batch Batch::of_tokens(int64_t rows, int64_t tokens, std::vector<int64_t> ids, std::vector<int64_t> targets) {
  Batch batch{.rows = rows, .targets = std::move(targets)};
  batch.inputs["tokens"] = {.shape = Shape({rows, tokens}), .ids = std::move(ids)};
  return batch;
}

const Batch::Input& Batch::input(const std::string& name) const {
  const auto found = inputs.find(name);
  if (found == inputs.end()) throw ShapeError("[batch] inputs: expected {}, found {} others", name, inputs.size());
  return found->second;
}

Batch Batch::slice(int64_t begin, int64_t count) const {
  Batch part{.rows = count, .targets = rows_of(targets, rows, begin, count)};
  for (const auto& [name, input] : inputs) {
    part.inputs[name] = {.shape = input.shape.with(0, count),
                         .ids = rows_of(input.ids, rows, begin, count),
                         .numbers = rows_of(input.numbers, rows, begin, count)};
  }
  if (layout) part.layout = rows_of(*layout, begin, count);
  return part;
}

int64_t Batch::tokens() const { return inputs.empty() ? 0 : inputs.begin()->second.shape[1]; }

int64_t Batch::asked() const {
  return std::count_if(targets.begin(), targets.end(), [](int64_t target) { return target >= 0; });
}

}  // namespace rebased
