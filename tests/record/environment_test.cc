#include "record/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/threads.h"
#include "base/version.h"
#include "config/options.h"

namespace rebased {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Pair;
using ::testing::ThrowsMessage;

TEST(Version, IsThatOfTheBuild) {
  EXPECT_THAT(std::string(version()), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(std::string(git_commit()), MatchesRegex("unknown|[0-9a-f]+(-dirty)?"));
}

TEST(Environment, KnowsTheMachine) {
  set_thread_count(3);
  const Environment environment = collect_environment();
  EXPECT_EQ(environment.version, version());
  EXPECT_EQ(environment.commit, git_commit());
  EXPECT_EQ(environment.threads, 3);
  EXPECT_GE(environment.cores, 1);
  EXPECT_GT(environment.memory_bytes, int64_t{1} << 20);
  EXPECT_THAT(environment.blas, HasSubstr("OpenBLAS"));
  EXPECT_THAT(environment.compiler, MatchesRegex("(GCC|Clang) [0-9]+\\.[0-9]+\\.[0-9]+"));
  for (const std::string& text : {environment.cpu, environment.os, environment.simd, environment.build}) {
    EXPECT_FALSE(text.empty());
  }
}

Environment sample() {
  Environment environment = collect_environment();
  environment.libraries = {{"libtorch", "1.13.0"}};
  return environment;
}

TEST(Environment, SurvivesJson) {
  EXPECT_EQ(options_from_json<Environment>(options_to_json(sample()), "environment.json"), sample());
  EXPECT_EQ(options_from_json<Environment>(Json::object(), "environment.json"), Environment{});
  EXPECT_THAT(
      [&] {
        options_from_json<Environment>({{"cpu", 3}}, "environment.json");
      },
      ThrowsMessage<ConfigError>(HasSubstr("environment.json: cpu")));
}

TEST(Environment, RowsLeaveOutWhatIsUnknown) {
  EXPECT_TRUE(environment_rows(Environment{}).empty());
  Environment environment = sample();
  environment.threads = 2;
  environment.cores = 4;
  environment.memory_bytes = int64_t{3} << 29;
  const auto rows = environment_rows(environment);
  EXPECT_THAT(rows, Contains(Pair("threads", "2 of 4 cores")));
  EXPECT_THAT(rows, Contains(Pair("memory", "1.5 GiB")));
  EXPECT_THAT(rows, Contains(Pair("libtorch", "1.13.0")));
}

}  // namespace
}  // namespace rebased
