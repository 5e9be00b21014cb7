#include "base/threads.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "base/cores.h"

namespace rebased {
namespace {

std::atomic<int> g_threads{0};
thread_local int t_index = 0;
thread_local bool t_inside = false;

int cores() {
  static const int usable = usable_cores();  // system calls, which every small operation would make several times
  return usable;
}

// [0, n) in `parts` even shares.
struct Job {
  int64_t n = 0;
  int parts = 0;
  const RangeFunction* f = nullptr;

  // Computes a part and leaves the thread's own marks as they were.
  void compute(int part) const {
    const bool inside = t_inside;
    t_index = part;
    t_inside = true;
    (*f)(n * part / parts, n * (part + 1) / parts);
    t_index = 0;
    t_inside = inside;
  }
};

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Whether `happened` came true before the time was over.
template <class F>
bool spin_for(std::chrono::microseconds time, const F& happened) {
  constexpr int kLooks = 32;  // between two looks at the clock
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (happened()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < end);
  return happened();
}

// Helpers of whoever calls run(), one caller at a time. What a job has left to take is one number, so that a part is
// taken by one exchange and only while its job lasts: a helper that comes late, or was put aside on its way, finds
// nothing, and nobody waits for it. Lives as long as the process: threads that sleep in it need no farewell.
class Pool {
 public:
  // False, and nothing is done, while another caller's job is under way.
  bool run(const Job& job) {
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    while (helpers_ < job.parts - 1 && grow()) {
    }
    job_ = job;
    done_.store(0, std::memory_order_relaxed);
    claim_.store(offer(job.parts));  // the first part is the caller's
    wake(job.parts - 1);
    job.compute(0);
    int own = 1;
    for (int part = take(); part != kNone; part = take(), ++own) job.compute(part);
    wait_for(static_cast<uint32_t>(job.parts - own));
    busy_.store(false, std::memory_order_release);
    return true;
  }

 private:
  // Bits of a claim: parts taken, parts of the job, and the number of the job.
  static constexpr int kPartBits = 12;
  static constexpr uint64_t kPartMask = (uint64_t{1} << kPartBits) - 1;
  static_assert(kMostThreads <= static_cast<int>(kPartMask));
  static constexpr int kNone = -1;
  // Long enough to bridge what lies between two operations, short beside a time slice of the system.
  static constexpr std::chrono::microseconds kSpinForJob{200}, kSpinForPart{50};

  static int taken(uint64_t claim) { return static_cast<int>(claim & kPartMask); }
  static int parts(uint64_t claim) { return static_cast<int>(claim >> kPartBits & kPartMask); }

  uint64_t offer(int parts) {
    return ++jobs_ << 2 * kPartBits | static_cast<uint64_t>(parts) << kPartBits | uint64_t{1};
  }

  bool is_open() const {
    const uint64_t claim = claim_.load();
    return taken(claim) < parts(claim);
  }

  // A part of the job in hand that nobody else computes, or kNone.
  int take() {
    uint64_t claim = claim_.load();
    while (taken(claim) < parts(claim)) {
      if (claim_.compare_exchange_weak(claim, claim + 1)) return taken(claim);
    }
    return kNone;
  }

  // False where the system grants no further thread: the caller then does more of the work itself.
  bool grow() {
    if (refused_) return false;
    refused_ = !start_helper();
    if (!refused_) ++helpers_;
    return !refused_;
  }

  // With a stack that our kernels have room in, even where the system's default is smaller (ulimit -s).
  bool start_helper() {
    constexpr size_t kLeastStack = size_t{1} << 20;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    size_t stack = 0;
    pthread_attr_getstacksize(&attributes, &stack);
    pthread_attr_setstacksize(&attributes, std::max(stack, kLeastStack));
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    const auto help = [](void* pool) -> void* { static_cast<Pool*>(pool)->help(); };
    const bool started = pthread_create(&thread, &attributes, help, this) == 0;
    pthread_attr_destroy(&attributes);
    return started;
  }

  [[noreturn]] void help() {
    while (true) {
      for (int part = take(); part != kNone; part = take()) {
        job_.compute(part);
        done_.fetch_add(1, std::memory_order_release);
        done_.notify_one();
      }
      const bool spare_core = helpers_ < cores();
      if (!spare_core || !spin_for(kSpinForJob, [this] { return is_open(); })) sleep();
    }
  }

  // Until the bell rings. Whoever rings first opens a job and then looks for sleepers; who falls asleep first counts as
  // one and then looks for a job: one of them sees the other.
  void sleep() {
    const uint32_t bell = bell_.load();
    ++sleepers_;
    if (!is_open()) bell_.wait(bell);
    --sleepers_;
  }

  void wake(int wanted) {
    const int sleepers = sleepers_.load();
    if (sleepers == 0) return;
    ++bell_;
    if (wanted >= sleepers) return bell_.notify_all();
    for (int i = 0; i < wanted; ++i) bell_.notify_one();
  }

  void wait_for(uint32_t parts_of_others) {
    auto all_done = [&] { return done_.load(std::memory_order_acquire) == parts_of_others; };
    if (all_done() || spin_for(kSpinForPart, all_done)) return;
    for (uint32_t done = done_.load(std::memory_order_acquire); done != parts_of_others;
         done = done_.load(std::memory_order_acquire)) {
      done_.wait(done, std::memory_order_acquire);
    }
  }

  std::atomic<bool> busy_{false};
  std::atomic<int> helpers_{0};
  bool refused_ = false;
  uint64_t jobs_ = 0;
  Job job_;
  alignas(64) std::atomic<uint64_t> claim_{0};
  alignas(64) std::atomic<uint32_t> done_{0};  // parts that helpers have computed
  alignas(64) std::atomic<uint32_t> bell_{0};
  std::atomic<int> sleepers_{0};
};

Pool& pool() {
  static Pool& only = *new Pool;
  return only;
}

}  // namespace

int thread_count() {
  const int threads = g_threads.load(std::memory_order_relaxed);
  return threads > 0 ? threads : std::min(cores(), kMostThreads);
}

void set_thread_count(int threads) { g_threads.store(std::clamp(threads, 1, kMostThreads), std::memory_order_relaxed); }

int thread_index() { return t_index; }

void parallel_for(int64_t n, int64_t grain, const RangeFunction& f) {
  if (n <= 0) return;
  const int64_t most = (n - 1) / std::max<int64_t>(grain, 1) + 1;
  const int parts = static_cast<int>(std::min<int64_t>(thread_count(), most));
  if (parts <= 1 || t_inside) return f(0, n);
  const Job job{n, parts, &f};
  if (pool().run(job)) return;
  for (int part = 0; part < parts; ++part) job.compute(part);
}

void parallel_runs(int64_t n, int64_t run, const RangeFunction& f) {
  struct alignas(64) Range {
    std::atomic<int64_t> next;
    int64_t end;
  };
  if (n <= 0) return;
  const int64_t runs = (n + run - 1) / run, parts = std::min<int64_t>(thread_count(), runs);
  std::vector<Range> ranges(static_cast<size_t>(parts));
  for (int64_t p = 0; p < parts; ++p) {
    Range& range = ranges[static_cast<size_t>(p)];
    range.next = runs * p / parts;
    range.end = runs * (p + 1) / parts;
  }
  parallel_for(parts, 1, [&](int64_t first, int64_t) {
    for (int64_t p = 0; p < parts; ++p) {
      Range& range = ranges[static_cast<size_t>((first + p) % parts)];
      for (int64_t i = range.next++; i < range.end; i = range.next++) f(i * run, std::min(n, (i + 1) * run));
    }
  });
}

}  // namespace rebased
