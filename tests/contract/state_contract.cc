// The promises about state.

#include <fmt/format.h>

#include "base/error.h"
#include "contract/contract_tools.h"

namespace rebased::testing {
namespace {

struct Run {
  HostArray y;
  MixerState state;
};

// x in pieces that end at `ends` (the last at T), from a fresh state.
Run run_in_pieces(Built& built, const HostArray& x, const std::vector<int64_t>& ends) {
  Run result{HostArray::zeros(x.shape), built.state(x.shape[0])};
  std::vector<HostArray> parts;
  int64_t begin = 0;
  for (int64_t end : ends) {
    parts.push_back(built.run(x.sliced(1, begin, end - begin), &result.state));
    begin = end;
  }
  result.y = joined_time(parts);
  return result;
}

void compare_runs(Violations& violations, const std::string& what, const Run& found, const Run& expected,
                  const Subject& subject, const EngineCase& where) {
  note(violations, difference(what + ", output", found.y, expected.y, where.bound(subject, expected.y)));
  compare_states(violations, what, found.state, expected.state, subject, where);
}

std::vector<int64_t> split_points(int64_t T, bool all) {
  std::vector<int64_t> points;
  for (int64_t t = 1; t < T; ++t) {
    if (all || t == 1 || t == T / 2 || t == T - 1) points.push_back(t);
  }
  return points;
}

void check_splits_on(Violations& violations, const Subject& subject, const EngineCase& where) {
  const auto built = build(subject, *where.engine);
  for (int64_t T : {1, 2, 63, 64, 65}) {
    const HostArray x = tokens(2, T, static_cast<uint64_t>(T));
    const Run whole = run_in_pieces(*built, x, {T});
    const std::string what = fmt::format("{}, {} tokens", where.name, T);
    const HostArray stateless = built->run(x);
    note(violations, difference(what + " with a state", whole.y, stateless, where.bound(subject, stateless)));
    if (whole.state.positions != std::vector<int64_t>{T, T})
      violations.push_back(what + ": the state counts other tokens");
    for (int64_t t : split_points(T, where.name == "cpu")) {
      compare_runs(violations, fmt::format("{} split at {}", what, t), run_in_pieces(*built, x, {t, T}), whole, subject,
                   where);
    }
    if (T != 65) continue;
    std::vector<int64_t> one_by_one;
    for (int64_t t = 1; t <= T; ++t) one_by_one.push_back(t);
    compare_runs(violations, what + " one by one", run_in_pieces(*built, x, one_by_one), whole, subject, where);
  }
}

}  // namespace

Violations check_splits(const Subject& subject) {
  Violations violations;
  if (!is_causal(subject)) {
    const EngineCase where = cpu_case();
    const auto built = build(subject, *where.engine);
    MixerState state = built->state(2);
    expect_refusal<ConfigError>(violations, "a state of a mixer that sees later tokens",
                                [&] { built->run(tokens(2, 4), &state); });
    return violations;
  }
  for (const EngineCase& where : every_case()) check_splits_on(violations, subject, where);
  return violations;
}

namespace {

constexpr int64_t kBefore = 9, kAfter = 4;

// A clone goes on as its origin would, whatever the origin did since.
void check_clone(Violations& violations, const Subject& subject, const EngineCase& where, Built& built,
                 const MixerState& start) {
  const HostArray next = tokens(3, kAfter, 5);
  MixerState origin = start.clone(), copy = origin.clone(), detached = origin.clone();
  detached.detach();
  const HostArray first = built.run(next, &origin);
  note(violations, difference(where.name + ", clone", built.run(next, &copy), first, 0));
  note(violations, difference(where.name + ", detached state", built.run(next, &detached), first, 0));
  compare_states(violations, where.name + ", clone", copy, origin, subject, where);
}

void check_select(Violations& violations, const Subject& subject, const EngineCase& where, Built& built,
                  const MixerState& start) {
  const HostArray next = tokens(3, kAfter, 6);
  const std::vector<int64_t> order = {2, 0, 0};
  MixerState all = start.clone(), chosen = start.select(order);
  const HostArray expected = rows_of(built.run(next, &all), order);
  note(violations, difference(where.name + ", select", built.run(rows_of(next, order), &chosen), expected,
                              where.bound(subject, expected)));
  compare_states(violations, where.name + ", select", chosen, all.select(order), subject, where);
}

void check_reset(Violations& violations, const Subject& subject, const EngineCase& where, Built& built,
                 const MixerState& start) {
  const HostArray next = tokens(3, kAfter, 7);
  MixerState kept = start.clone(), reset = start.clone(), fresh = built.state(3);
  const std::vector<int64_t> row = {1};
  reset.reset_rows(row);
  HostArray expected = built.run(next, &kept);
  const HostArray restarted = built.run(next, &fresh);
  const auto width = static_cast<int64_t>(expected.data.size()) / 3;
  std::copy_n(restarted.data.begin() + width, width, expected.data.begin() + width);
  note(violations,
       difference(where.name + ", reset_rows", built.run(next, &reset), expected, where.bound(subject, expected)));
  if (reset.positions != std::vector<int64_t>{kBefore + kAfter, kAfter, kBefore + kAfter}) {
    violations.push_back(where.name + ", reset_rows: wrong positions");
  }
}

// Rows of two states that have seen other numbers of tokens, so that caches differ in length, go on as each would
// alone.
void check_join(Violations& violations, const Subject& subject, const EngineCase& where, Built& built,
                const MixerState& start) {
  const HostArray next = tokens(4, kAfter, 8);
  MixerState shorter = start.clone(), longer = built.state(1);
  built.run(tokens(1, 70, 9), &longer);
  const MixerState order[] = {shorter, longer};
  MixerState joined = MixerState::join(order);
  HostArray expected = built.run(next.sliced(0, 0, 3), &shorter);
  const HostArray last = built.run(next.sliced(0, 3, 1), &longer);
  expected.shape[0] = 4;
  expected.data.insert(expected.data.end(), last.data.begin(), last.data.end());
  note(violations,
       difference(where.name + ", join", built.run(next, &joined), expected, where.bound(subject, expected)));
  if (joined.positions != std::vector<int64_t>{13, 13, 13, 74})
    violations.push_back(where.name + ", join: wrong positions");
}

}  // namespace

Violations check_state_copies(const Subject& subject) {
  Violations violations;
  if (!is_causal(subject)) return violations;
  for (const EngineCase& where : every_case()) {
    const auto built = build(subject, *where.engine);
    MixerState start = built->state(3);
    built->run(tokens(3, kBefore, 4), &start);
    check_clone(violations, subject, where, *built, start);
    check_select(violations, subject, where, *built, start);
    check_reset(violations, subject, where, *built, start);
    check_join(violations, subject, where, *built, start);
  }
  return violations;
}

namespace {

std::string described(const std::string& name, const Shape& shape, DType dtype) {
  return fmt::format("{} {} {}", name, shape.str(), dtype_name(dtype));
}

std::string said_arrays(const SequenceMixer& mixer, int64_t n, const Engine& engine) {
  std::vector<std::string> all;
  for (const StateArray& array : mixer.state_arrays(n))
    all.push_back(described(array.name, array.shape, array.dtype.value_or(engine.compute_dtype())));
  return fmt::format("{}", fmt::join(all, ", "));
}

std::string held_arrays(const MixerState& state) {
  std::vector<std::string> all;
  for (const MixerState::Array& array : state.arrays()) {
    const Shape& shape = array.value.shape();
    all.push_back(described(array.name, Shape(std::span(shape.begin() + 1, shape.end())), array.value.dtype()));
  }
  return fmt::format("{}", fmt::join(all, ", "));
}

}  // namespace

Violations check_state_bytes(const Subject& subject) {
  Violations violations;
  const EngineCase where = cpu_case();
  const auto built = build(subject, *where.engine);
  const MixerTraits::StateKind kind = built->mixer->traits().state;
  for (int64_t n : {0, 1, 63, 64, 65, 130}) {
    MixerState state = built->state(2);
    if (n > 0 && built->mixer->traits().causal) built->run(tokens(2, n), &state);
    const int64_t said = built->mixer->state_bytes(2, n);
    if (const std::string arrays = said_arrays(*built->mixer, n, *where.engine); arrays != held_arrays(state)) {
      violations.push_back(
          fmt::format("state_arrays says {} after {} tokens, the state holds {}", arrays, n, held_arrays(state)));
    }
    if (said != state.bytes()) {
      violations.push_back(
          fmt::format("state_bytes says {} after {} tokens, the state holds {}", said, n, state.bytes()));
    }
    if (kind == MixerTraits::StateKind::kNone && said != 0) violations.push_back("traits promise no state");
    if (kind == MixerTraits::StateKind::kFixed && said != built->mixer->state_bytes(2, 0)) {
      violations.push_back(fmt::format("traits promise a state of fixed size, {} tokens change it", n));
    }
  }
  return violations;
}

}  // namespace rebased::testing
