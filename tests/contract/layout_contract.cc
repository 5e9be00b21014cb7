// The promises about layouts: documents inside rows, padding and prefixes.

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "contract/contract_tools.h"
#include "nn/positions.h"

namespace rebased::testing {
namespace {

constexpr int64_t kRows = 3, kTokens = 23, kBefore = 6, kBehind = 3;
constexpr int64_t kAll = kBefore + kTokens + kBehind;

// One case: `before` tokens a row that the state reads first (0: no state), then a pass with the layout.
struct Packed {
  const char* name;
  Layout layout;
  int64_t before = 0;
};

using Starts = std::vector<std::vector<int64_t>>;

std::vector<Packed> document_cases() {
  const Layout behind = Layout::packed(Starts{{5, 6, 17}, {0, 10}, {}}, kTokens);
  const Layout many = Layout::packed(Starts{{0, 1, 2, 4, 7, 11, 16}, {0, 8, 16}, {22}}, kTokens);
  return {{"documents", behind},
          {"documents behind a state", behind, kBefore},
          {"short documents", many},
          {"short documents behind a state", many, kBefore}};
}

std::vector<Packed> padding_cases() {
  const std::vector<int64_t> lengths = {kTokens, 9, 1}, some = {4, 0, kTokens};
  const Layout mixed(kRows, kTokens,
                     {{.row = 0, .begin = 0, .length = 7},
                      {.row = 0, .begin = 9, .length = 6, .continues = false},
                      {.row = 1, .begin = 3, .length = 17, .continues = false}});
  return {{"padding behind", Layout::of_lengths(lengths, kTokens, Layout::Side::kBehind)},
          {"padding in front", Layout::of_lengths(some, kTokens, Layout::Side::kFront)},
          {"padding behind, behind a state", Layout::of_lengths(lengths, kTokens, Layout::Side::kBehind), kBefore},
          {"padding between a state and what goes on from it", Layout::of_lengths(some, kTokens, Layout::Side::kFront),
           kBefore},
          {"documents and padding", mixed},
          {"documents and padding behind a state", mixed, kBefore}};
}

// What a pass over x [B, kAll, C] puts out: of each document of the layout, then of some tokens behind the pass.
struct Pass {
  std::vector<Value> documents;
  Value behind;  // [B, kBehind, C]; empty without a state
  std::vector<int64_t> positions;
};

Pass whole(Built& built, const Value& x, const Packed& c) {
  MixerState state = built.state(kRows);
  MixerState* own = c.before > 0 ? &state : nullptr;
  if (own != nullptr) built.run(slice(x, 1, 0, c.before), own);
  const Value y = built.run(slice(x, 1, kBefore, kTokens), own, {.layout = &c.layout});
  Pass pass;
  for (const Layout::Document& d : c.layout.documents()) {
    const std::vector<int64_t> row = {d.row};
    pass.documents.push_back(slice(select_rows(y, row), 1, d.begin, d.length));
  }
  if (own != nullptr) pass.behind = built.run(slice(x, 1, kBefore + kTokens, kBehind), own);
  if (own != nullptr) pass.positions = state.positions;
  return pass;
}

// The same, every document as the only row of a batch.
Pass apart(Built& built, const Value& x, const Packed& c) {
  Pass pass;
  std::vector<Value> behind;
  for (int64_t row = 0; row < kRows; ++row) {
    const std::vector<int64_t> only = {row};
    const Value own = select_rows(x, only);
    MixerState state = built.state(1);
    if (c.before > 0) built.run(slice(own, 1, 0, c.before), &state);
    for (const Layout::Document& d : c.layout.documents()) {
      if (d.row != row) continue;
      if (!d.continues) state = built.state(1);
      const Layout prefix = Layout::whole(1, d.length).with_prefixes(std::vector<int64_t>{d.prefix});
      pass.documents.push_back(built.run(slice(own, 1, kBefore + d.begin, d.length), c.before > 0 ? &state : nullptr,
                                         {.layout = d.prefix > 0 ? &prefix : nullptr}));
    }
    if (c.before > 0) behind.push_back(built.run(slice(own, 1, kBefore + kTokens, kBehind), &state));
    if (c.before > 0) pass.positions.push_back(state.positions.front());
  }
  if (c.before > 0) pass.behind = concat(behind, 0);
  return pass;
}

void compare_passes(Violations& violations, const std::string& what, const Pass& found, const Pass& expected,
                    const Subject& subject, const EngineCase& where) {
  for (size_t i = 0; i < expected.documents.size(); ++i) {
    const HostArray exact = read(expected.documents[i]);
    note(violations, difference(fmt::format("{}, document {}", what, i), read(found.documents[i]), exact,
                                where.bound(subject, exact)));
  }
  if (!expected.behind) return;
  const HostArray exact = read(expected.behind);
  note(violations, difference(what + ", tokens behind it", read(found.behind), exact, where.bound(subject, exact)));
  if (found.positions != expected.positions) violations.push_back(what + ": the state counts other tokens");
}

void check_cases(Violations& violations, const Subject& subject, const std::vector<Packed>& cases) {
  const EngineCase exact = reference_case();
  const auto theirs = build(subject, *exact.engine);
  const HostArray x = tokens(kRows, kAll);
  const bool causal = theirs->mixer->traits().causal;
  for (const Packed& c : cases) {
    if (c.before > 0 && !causal) continue;
    const Pass expected = apart(*theirs, write(*exact.engine, x), c);
    for (const EngineCase& where : every_case()) {
      const auto built = build(subject, *where.engine);
      compare_passes(violations, fmt::format("{}, {}", where.name, c.name), whole(*built, write(*where.engine, x), c),
                     expected, subject, where);
    }
  }
}

// Outputs of some tokens of a pass with a layout.
void check_outputs_of_layout(Violations& violations, const Subject& subject) {
  const EngineCase where = cpu_case();
  const auto built = build(subject, *where.engine);
  const HostArray x = tokens(2, kOutputTokens);
  const Layout packed = Layout::packed(Starts{{0, 8}, {4, 17}}, kOutputTokens);
  const HostArray expected = at_outputs(built->run(x, nullptr, {.layout = &packed}));
  const Context some{.layout = &packed, .outputs = some_outputs()};
  note(violations,
       difference("some outputs of documents", built->run(x, nullptr, some), expected, where.bound(subject, expected)));
  const Layout other = Layout::packed(Starts{{0}, {4}}, kOutputTokens + 1);
  expect_refusal<ShapeError>(violations, "the layout of longer rows",
                             [&] { built->run(x, nullptr, {.layout = &other}); });
}

MakeLoss loss_of(const Packed& c, Pass (*pass)(Built&, const Value&, const Packed&)) {
  return [&c, pass](Built& built, const Value& x) {
    const Pass outputs = pass(built, x, c);
    std::vector<Weighted> loss;
    for (const Value& y : outputs.documents) loss.push_back({y, loss_weights(y.shape())});
    if (outputs.behind) loss.push_back({outputs.behind, loss_weights(outputs.behind.shape())});
    return loss;
  };
}

void check_gradients_of(Violations& violations, const Subject& subject, const std::vector<Packed>& cases) {
  const EngineCase exact = reference_case();
  const auto theirs = build(subject, *exact.engine, Leaves::kTrainable);
  const HostArray x = tokens(kRows, kAll);
  const bool causal = theirs->mixer->traits().causal;
  for (const Packed& c : cases) {
    if (c.before > 0 && !causal) continue;
    const Graded expected = graded(*theirs, x, loss_of(c, apart));
    compare_graded(violations, fmt::format("{}, {}", exact.name, c.name), graded(*theirs, x, loss_of(c, whole)),
                   expected, subject, exact);
    for (const EngineCase& where : trained_cases()) {
      const auto built = build(subject, *where.engine, Leaves::kTrainable);
      compare_graded(violations, fmt::format("{}, {}", where.name, c.name), graded(*built, x, loss_of(c, whole)),
                     expected, subject, where);
    }
  }
}

}  // namespace

Violations check_documents(const Subject& subject) {
  Violations violations;
  check_cases(violations, subject, document_cases());
  check_outputs_of_layout(violations, subject);
  return violations;
}

Violations check_padding(const Subject& subject) {
  Violations violations;
  check_cases(violations, subject, padding_cases());
  return violations;
}

Violations check_document_gradients(const Subject& subject) {
  Violations violations;
  check_gradients_of(violations, subject, document_cases());
  check_gradients_of(violations, subject, padding_cases());
  return violations;
}

namespace {

// A prefix of the row sees itself whole, nothing sees beyond it, and what follows goes on from the state.
void check_sight(Violations& violations, Built& built, const Subject& subject, const EngineCase& where) {
  constexpr int64_t kPrefix = 4, kLength = 9;
  const HostArray x = tokens(2, kLength), other = tokens(2, kLength, 99);
  auto run = [&](const HostArray& input, int64_t prefix, MixerState* state) {
    const Layout layout = Layout::whole(2, input.shape[1]).with_prefixes(std::vector<int64_t>{prefix, prefix});
    return built.run(input, state, {.layout = prefix > 0 ? &layout : nullptr});
  };
  auto changed_at = [&](int64_t t) {
    return joined_time({x.sliced(1, 0, t), other.sliced(1, t, 1), x.sliced(1, t + 1, kLength - t - 1)});
  };
  const HostArray y = run(x, kPrefix, nullptr);
  const double bound = where.bound(subject, y);
  const HostArray inside = run(changed_at(kPrefix - 1), kPrefix, nullptr),
                  behind = run(changed_at(kPrefix), kPrefix, nullptr);
  if (difference("", inside.sliced(1, kPrefix - 2, 1), y.sliced(1, kPrefix - 2, 1), 100 * bound).empty())
    note(violations, "with a prefix, a token of it does not see its last");
  note(violations, difference("a prefix, the token behind it changed", behind.sliced(1, 0, kPrefix),
                              y.sliced(1, 0, kPrefix), bound));
  MixerState state = built.state(2);
  const HostArray front = run(x.sliced(1, 0, kPrefix + 1), kPrefix, &state);
  const HostArray rest = run(x.sliced(1, kPrefix + 1, kLength - kPrefix - 1), 0, &state);
  note(violations, difference("a prefix, then the rest from the state", joined_time({front, rest}), y, bound));
  expect_refusal<ShapeError>(violations, "a prefix behind the first tokens", [&] { run(x, 2, &state); });
}

}  // namespace

Violations check_prefixes(const Subject& subject) {
  Violations violations;
  const EngineCase where = cpu_case();
  const auto built = build(subject, *where.engine);
  const Layout layout = Layout::packed(Starts{{0, 6, 17}, {0, 10}, {0}}, kTokens);
  const Packed prefixed{"prefixes", layout.with_prefixes(std::vector<int64_t>{4, 0, 6, 1, 9, kTokens})};
  const HostArray x = tokens(kRows, kAll);
  using Prefix = MixerTraits::Prefix;
  const Prefix can = built->mixer->traits().prefix;
  if (can == Prefix::kRefused) {
    expect_refusal<ConfigError>(violations, "a prefix", [&] { whole(*built, write(*where.engine, x), prefixed); });
  } else if (can == Prefix::kIndifferent) {
    const Packed plain{"no prefixes", layout};
    compare_passes(violations, "prefixes that change nothing", whole(*built, write(*where.engine, x), prefixed),
                   whole(*built, write(*where.engine, x), plain), subject, where);
  } else {
    check_sight(violations, *built, subject, where);
    check_cases(violations, subject, {prefixed});
    check_gradients_of(violations, subject, {prefixed});
  }
  return violations;
}

}  // namespace rebased::testing
