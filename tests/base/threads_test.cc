#include "base/threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <set>
#include <thread>
#include <vector>

namespace rebased {
namespace {

using std::chrono::milliseconds;

class Threads : public ::testing::Test {
 protected:
  ~Threads() override { set_thread_count(before_); }

 private:
  int before_ = thread_count();
};

TEST_F(Threads, EveryIndexIsVisitedOnceWhateverTheThreadCount) {
  for (int threads : {1, 2, 3, 7}) {
    set_thread_count(threads);
    for (int64_t n : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
      parallel_for(n, 3, [&](int64_t begin, int64_t end) {
        EXPECT_GE(thread_index(), 0);
        EXPECT_LT(thread_index(), threads);
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        parallel_for(1, 1, [](int64_t, int64_t) {});  // nested calls are serial
      });
      for (const auto& count : visits) EXPECT_EQ(count, 1);
    }
  }
}

TEST_F(Threads, RunsVisitEveryIndexOnceWhoeverTakesThem) {
  for (int threads : {1, 2, 3, 8}) {
    set_thread_count(threads);
    for (int64_t n : {0, 1, 2, 7, 1000}) {
      for (int64_t run : {1, 3, 2000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
        parallel_runs(n, run, [&](int64_t begin, int64_t end) {
          EXPECT_LT(thread_index(), threads);
          EXPECT_EQ(begin % run, 0);
          EXPECT_LE(end - begin, run);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        for (const auto& count : visits) EXPECT_EQ(count, 1);
      }
    }
  }
}

TEST_F(Threads, WhoIsDoneTakesWhatOthersHaveNotBegun) {
  set_thread_count(2);
  // Run 0 ends when every other has: its thread's own share too is left to others.
  constexpr int64_t kRuns = 16;
  std::atomic<int64_t> others{0};
  parallel_runs(kRuns, 1, [&](int64_t begin, int64_t) {
    if (begin > 0) ++others;
    while (begin == 0 && others < kRuns - 1) std::this_thread::yield();
  });
  EXPECT_EQ(others, kRuns - 1);
}

TEST_F(Threads, TheSplitIsAFunctionOfSizeGrainAndThreadCount) {
  using Ranges = std::set<std::pair<int64_t, int64_t>>;
  for (int threads : {2, 3, 5}) {
    set_thread_count(threads);
    Ranges expected;
    for (int p = 0; p < threads; ++p) expected.insert({101 * p / threads, 101 * (p + 1) / threads});
    for (int round = 0; round < 200; ++round) {
      std::vector<std::pair<int64_t, int64_t>> of_part(static_cast<size_t>(threads));
      parallel_for(101, 20, [&](int64_t begin, int64_t end) {
        of_part[static_cast<size_t>(thread_index())] = {begin, end};
      });
      EXPECT_EQ(Ranges(of_part.begin(), of_part.end()), expected);
    }
  }
}

TEST_F(Threads, NoTwoPartsHaveAnIndexAtTheSameTime) {
  set_thread_count(4);
  std::vector<std::atomic<int>> users(4);
  for (int round = 0; round < 2000; ++round) {
    parallel_for(4, 1, [&](int64_t, int64_t) {
      auto& own = users[static_cast<size_t>(thread_index())];
      EXPECT_EQ(++own, 1);
      --own;
    });
  }
}

// Keeps every helper of the pool busy inside a part until it goes out of scope.
TEST_F(Threads, ACallerDoesNotWaitForAHelperThatHasNotCome) {
  set_thread_count(2);
  parallel_for(2, 1, [](int64_t, int64_t) {});  // the helper exists
  const std::thread::id caller = std::this_thread::get_id();
  int64_t own_parts = 0, calls = 0;  // parts of nothing are over before a sleeping helper is awake
  const auto until = std::chrono::steady_clock::now() + milliseconds(200);
  while (std::chrono::steady_clock::now() < until) {
    std::atomic<int> by_caller{0};
    std::this_thread::sleep_for(milliseconds(1));  // the helper falls asleep
    parallel_for(2, 1, [&](int64_t, int64_t) { by_caller += std::this_thread::get_id() == caller ? 1 : 0; });
    own_parts += by_caller;
    ++calls;
  }
  EXPECT_GT(own_parts, calls);
}

TEST_F(Threads, CallsOfSeveralThreadsAtOnceAllComplete) {
  set_thread_count(3);
  std::vector<std::thread> callers;
  std::atomic<int64_t> sum{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        parallel_for(30, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 500 * 30);
}

TEST_F(Threads, AfterForkTheCallerComputesEverything) {
  set_thread_count(2);
  parallel_for(2, 1, [](int64_t, int64_t) {});
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    int64_t sum = 0;
    parallel_for(100, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });  // nobody else is there
    ::_exit(sum == 100 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

TEST_F(Threads, NothingSpinsWhileOneThreadWorksAlone) {
  set_thread_count(3);
  parallel_for(3, 1, [](int64_t, int64_t) {});
  std::this_thread::sleep_for(milliseconds(50));  // time to fall asleep, on a busy machine too
  const double before = processor_seconds();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_LT(processor_seconds() - before, 0.05);
}

// As under `ulimit -s 64`, where the kernels had no room.
TEST_F(Threads, HelpersHaveRoomWhateverTheDefaultStackIs) {
  constexpr int kThreads = 24;  // more than any test before has started
  pthread_attr_t before, small;
  ASSERT_EQ(pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(pthread_attr_init(&small), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&small, 64 << 10), 0);
  ASSERT_EQ(pthread_setattr_default_np(&small), 0);
  set_thread_count(kThreads);
  std::atomic<int> begun{0}, bytes{0};
  parallel_for(kThreads, 1, [&](int64_t, int64_t) {
    ++begun;
    while (begun < kThreads) std::this_thread::yield();  // so that every part has a thread of its own
    volatile char room[64 << 10];
    for (size_t i = 0; i < sizeof(room); i += 1024) room[i] = 1;
    bytes += room[0];
  });
  EXPECT_EQ(bytes, kThreads);
  EXPECT_EQ(pthread_setattr_default_np(&before), 0);
}

}  // namespace
}  // namespace rebased
