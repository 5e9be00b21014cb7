// The promise about state files.

#include <fmt/format.h>

#include "base/error.h"
#include "contract/contract_tools.h"
#include "io/temporary_folder.h"
#include "runtime/state_file.h"

namespace rebased::testing {
namespace {

// Outputs and states of both for the tokens `next`, which must be equal bit for bit.
void compare_next(Violations& violations, const std::string& what, Built& stopped, MixerState& read, Built& never,
                  MixerState& kept, const HostArray& next) {
  note(violations, difference(what + ", output", stopped.run(next, &read), never.run(next, &kept), 0));
  if (read.positions != kept.positions) violations.push_back(what + ": positions differ");
  for (size_t i = 0; i < kept.arrays().size(); ++i) {
    const MixerState::Array& array = kept.arrays()[i];
    note(violations, difference(fmt::format("{}, state {}", what, array.name), testing::read(read.arrays()[i].value),
                                testing::read(array.value), 0));
  }
}

// A state of `n` tokens goes through a file into another engine; there it goes on token by token and in one piece.
void check_file(Violations& violations, const Subject& subject, const EngineCase& where, Engine& other, int64_t n,
                const std::string& path) {
  const auto never = build(subject, *where.engine), stopped = build(subject, other);
  MixerState kept = never->state(2);
  if (n > 0) never->run(tokens(2, n, 11), &kept);
  SavedState saved{.model = "0123456789abcdef"};
  saved.state.layers.push_back(kept.clone());  // a shared array is not advanced in place, which may round otherwise
  write_state_file(path, saved);
  const SequenceMixer* const mixers[] = {stopped->mixer.get()};
  MixerState read = StateFile::open(path).state(other, mixers).layers.front();
  const std::string what = fmt::format("{}, after {} tokens", where.name, n);
  for (const int64_t T : {1, 1, 5}) {
    compare_next(violations, what, *stopped, read, *never, kept, tokens(2, T, static_cast<uint64_t>(12 + T)));
  }
}

}  // namespace

Violations check_state_files(const Subject& subject) {
  Violations violations;
  if (!is_causal(subject)) return violations;
  const TemporaryFolder folder;
  const std::vector<EngineCase> cases = every_case(), others = every_case();
  for (size_t i = 0; i < cases.size(); ++i) {
    for (const int64_t n : {0, 1, 9, 70}) {
      try {
        check_file(violations, subject, cases[i], *others[i].engine, n, folder / "state");
      } catch (const FormatError& error) {
        violations.push_back(fmt::format("{}, after {} tokens: {}", cases[i].name, n, error.what()));
      }
    }
  }
  return violations;
}

}  // namespace rebased::testing
