#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "contract/mixer_contract.h"
#include "contract/mixer_rows.h"
#include "nn/mixers/registry.h"

namespace rebased::testing {
namespace {

class MixerContract : public ::testing::TestWithParam<std::tuple<MixerRow, Promise>> {};

TEST_P(MixerContract, IsKept) {
  const auto& [row, promise] = GetParam();
  const Violations violations = promise.check(subject_of(row));
  const size_t shown = std::min<size_t>(violations.size(), 8);
  EXPECT_TRUE(violations.empty()) << violations.size() << " violations (tolerance: " << row.reason << "):\n"
                                  << fmt::format("{}", fmt::join(violations.begin(),
                                                                 violations.begin() + static_cast<long>(shown), "\n"));
}

INSTANTIATE_TEST_SUITE_P(Rows, MixerContract,
                         ::testing::Combine(::testing::ValuesIn(mixer_rows()), ::testing::ValuesIn(promises())),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" + std::get<1>(test.param).name;
                         });

TEST(MixerRows, EveryRegisteredMixerHasOne) {
  for (const MixerEntry& entry : mixer_registry()) {
    EXPECT_TRUE(std::any_of(mixer_rows().begin(), mixer_rows().end(),
                            [&](const MixerRow& row) { return row.type == entry.name; }))
        << entry.name << " has no row in tests/contract/mixer_rows.cc";
  }
}

TEST(MixerRows, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const MixerRow& row : mixer_rows()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
}

// The default and the rows' values of every option, by dotted name; options that no row sets away from their default
// fail.
TEST(MixerRows, SetEveryOptionAwayFromItsDefault) {
  for (const MixerEntry& entry : mixer_registry()) {
    if (entry.help().empty()) continue;
    const Json defaults = entry.resolve(Json::object(), entry.name).flatten();
    std::set<std::string> idle;
    for (const auto& [option, value] : defaults.items()) {
      if (!option.starts_with("/mixer/")) idle.insert(option);  // those of a mixer inside have rows of their own
    }
    for (const MixerRow& row : mixer_rows()) {
      if (row.type != entry.name) continue;
      const Json resolved = entry.resolve(row.options, row.name).flatten();
      for (const auto& [option, value] : resolved.items()) {
        if (!defaults.contains(option) || defaults.at(option) != value) idle.erase(option);
      }
    }
    EXPECT_TRUE(idle.empty()) << entry.name << ": no row in mixer_rows.cc sets these options away from their defaults: "
                              << fmt::format("{}", fmt::join(idle, ", "));
  }
}

}  // namespace
}  // namespace rebased::testing
