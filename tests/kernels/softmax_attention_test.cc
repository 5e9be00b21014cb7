#include "kernels/softmax_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

struct Case {
  int64_t B, T, S, H, Hkv, Dk, Dv;
  int64_t window = 0;
  bool additive_mask = false;
};

struct Problem {
  // Queries are the last T of S positions; slots hold keys in order.
  explicit Problem(const Case& size)
      : s(size),
        q(random_buffer(s.B * s.T * s.H * s.Dk, 1)),
        k(random_buffer(s.B * s.S * s.Hkv * s.Dk, 2)),
        v(random_buffer(s.B * s.S * s.Hkv * s.Dv, 3)) {
    for (int64_t b = 0; b < s.B; ++b) {
      for (int64_t t = 0; t < s.T; ++t) query_pos.push_back(s.S - s.T + t);
      for (int64_t i = 0; i < s.S; ++i) key_pos.push_back(i);
    }
  }

  template <class Real>
  SoftmaxAttentionArgs<Real> args(const Real* qs, const Real* ks, const Real* vs, Real* o) const {
    SoftmaxAttentionArgs<Real> a;
    a.B = s.B, a.T = s.T, a.S = s.S, a.H = s.H, a.Hkv = s.Hkv, a.Dk = s.Dk, a.Dv = s.Dv;
    a.q = qs, a.k = ks, a.v = vs, a.o = o;
    a.query_pos = query_pos.data();
    a.key_pos = key_pos.data();
    a.scale = 0.5;
    a.window = s.window;
    a.additive_mask = s.additive_mask;
    return a;
  }

  Buffer<float> run() const {
    Buffer<float> o(s.B * s.T * s.H * s.Dv);
    SoftmaxAttentionArgs<float> a = args<float>(q.data(), k.data(), v.data(), o.data());
    Buffer<float> scratch(cpu::softmax_attention_scratch(a));
    a.scratch = scratch.data();
    cpu::softmax_attention(a);
    return o;
  }

  std::vector<double> oracle() const {
    std::vector<double> o(static_cast<size_t>(s.B * s.T * s.H * s.Dv));
    const auto qs = q.doubles(), ks = k.doubles(), vs = v.doubles();
    reference::softmax_attention(args<double>(qs.data(), ks.data(), vs.data(), o.data()));
    return o;
  }

  // A score's error, eps Dk max|q k| scale, is a relative error of its weight; values stay below 5. Scores that carry
  // the additive mask are rounded to multiples of 2^-10: that is what remains where nothing else is seen.
  double tolerance(bool masked_scores_matter = false) const {
    return 5 * (0x1p-24 * (32 + 8 * static_cast<double>(s.Dk)) + (masked_scores_matter ? 0x1p-10 : 0));
  }

  void expect_matches(bool masked_scores_matter = false) const {
    SCOPED_TRACE(testing::Message() << "B " << s.B << " T " << s.T << " S " << s.S << " H " << s.H << "/" << s.Hkv
                                    << " Dk " << s.Dk << " Dv " << s.Dv << " window " << s.window);
    expect_near(run(), oracle(), 0, tolerance(masked_scores_matter), "o");
  }

  Case s;
  Buffer<float> q, k, v;
  std::vector<int64_t> query_pos, key_pos;
};

TEST(SoftmaxAttention, MatchesTheReferenceAtEveryWidth) {
  for_each_target([] {
    for (int64_t D = 1; D <= 33; ++D) {
      Problem({1, 1, 5, 1, 1, D, 34 - D}).expect_matches();
      Problem({1, 9, 9, 1, 1, D, 34 - D}).expect_matches();
    }
  });
}

TEST(SoftmaxAttention, MatchesTheReferenceOverTilesHeadsAndThreads) {
  for_each_thread_count([] {
    for (int64_t T : {1, 3, 7, 8, 64, 65, 130}) {
      for (int64_t S : {T, T + 1, T + 63, T + 64, T + 150}) Problem({2, T, S, 2, 2, 16, 16}).expect_matches();
      Problem({1, T, T + 20, 6, 2, 8, 20}).expect_matches();
      Problem({1, T, T + 20, 4, 1, 8, 32}).expect_matches();
    }
  });
}

TEST(SoftmaxAttention, OneQueryOverManySlotsIsSplitOverThreads) {
  for_each_thread_count([] {
    for (int64_t S : {255, 1000, 2048}) {
      Problem({1, 1, S, 2, 1, 64, 40}).expect_matches();
      Problem({1, 1, S, 1, 1, 64, 64, 300}).expect_matches();  // the early splits see nothing
      Problem({1, 1, S, 1, 1, 64, 64, 70, true}).expect_matches();
    }
  });
}

TEST(SoftmaxAttention, RepeatsBitForBit) {
  const Problem p({1, 70, 300, 2, 1, 16, 24});
  EXPECT_EQ(p.run().values(), p.run().values());
}

TEST(SoftmaxAttention, WindowHidesOldKeys) {
  for_each_target([] {
    for (int64_t window : {1, 2, 5, 64, 100, 1000}) {
      Problem({1, 90, 90, 1, 1, 8, 16, window}).expect_matches();
      Problem({1, 2, 150, 2, 1, 8, 7, window}).expect_matches();
    }
  });
  const Problem own({1, 6, 6, 1, 1, 4, 3, 1});  // one key: the query's own
  expect_near(own.run(), own.v.doubles(), 0x1p-23, 0, "own value");
}

TEST(SoftmaxAttention, AdditiveMaskLeavesHiddenKeysAFarSecond) {
  for_each_target([] {
    Problem({1, 70, 70, 2, 2, 8, 16, 0, true}).expect_matches();
    Problem({1, 2, 70, 2, 2, 8, 16, 9, true}).expect_matches();
    for (int64_t T : {1, 20}) {
      Problem p({1, T, 70, 1, 1, 8, 16, 0, true});
      std::fill(p.query_pos.begin(), p.query_pos.end(), -1);  // sees nothing: the hidden keys share the weight
      p.expect_matches(true);
      EXPECT_NE(p.run().values(), std::vector<float>(static_cast<size_t>(T * 16), 0.0f));
    }
  });
}

TEST(SoftmaxAttention, EmptySlotsAreNeverRead) {
  for_each_target([] {
    for (int64_t T : {1, 30}) {
      for (bool additive : {false, true}) {
        Problem p({2, T, 100, 2, 1, 8, 16, 0, additive});
        for (size_t i = 0; i < p.key_pos.size(); i += 3) {
          p.key_pos[i] = -1;
          const auto slot = static_cast<int64_t>(i);
          std::fill_n(p.k.data() + slot * 8, 8, std::numeric_limits<float>::quiet_NaN());
          std::fill_n(p.v.data() + slot * 16, 16, std::numeric_limits<float>::quiet_NaN());
        }
        p.expect_matches();
      }
    }
  });
}

TEST(SoftmaxAttention, AQueryThatSeesNothingYieldsZeros) {
  for_each_target([] {
    for (int64_t T : {1, 12}) {
      Problem p({1, T, 80, 2, 1, 8, 5});
      p.query_pos[0] = -1;
      const Buffer<float> o = p.run();
      for (int64_t i = 0; i < 2 * 5; ++i) EXPECT_EQ(o.data()[i], 0.0f);
      p.expect_matches();
      std::fill(p.key_pos.begin(), p.key_pos.end(), -1);
      p.s.additive_mask = true;  // nothing held: nothing to add the mask to
      EXPECT_EQ(p.run().values(), std::vector<float>(static_cast<size_t>(o.size()), 0.0f));
    }
  });
}

TEST(SoftmaxAttention, SlotsMayLieInAnyOrder) {
  for (int64_t T : {1, 40}) {
    Problem p({1, T, 200, 1, 1, 8, 16, 50});
    for (size_t i = 0; i < 200; ++i) p.key_pos[i] = static_cast<int64_t>(i * 37 % 200);  // a ring, or worse
    for (size_t t = 0; t < p.query_pos.size(); ++t) p.query_pos[t] = static_cast<int64_t>(t * 61 % 200);
    p.expect_matches();
  }
}

TEST(SoftmaxAttention, LargeScoresDoNotOverflow) {
  for (int64_t T : {1, 20}) {
    Problem p({1, T, 100, 1, 1, 1, 1});
    std::fill_n(p.q.data(), T, 1.0f);
    for (int64_t s = 0; s < 100; ++s) p.k[s] = static_cast<float>(s) * 1000.0f;  // each outweighs all before it
    const Buffer<float> o = p.run();
    for (int64_t t = 0; t < T; ++t) EXPECT_FLOAT_EQ(o.data()[t], p.v.data()[100 - T + t]);
  }
}

TEST(SoftmaxAttention, NanScoresReachTheOutput) {
  for_each_target([] {
    for (int64_t T : {1, 10}) {
      Problem p({1, T, 100, 1, 1, 4, 4});
      p.q[(T - 1) * 4] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_TRUE(std::isnan(p.run().data()[(T - 1) * 4]));
    }
  });
}

TEST(SoftmaxAttention, ReferenceByHand) {
  Problem p({1, 2, 2, 1, 1, 1, 1});
  p.q[0] = 1, p.q[1] = 2, p.k[0] = 1, p.k[1] = 3, p.v[0] = 10, p.v[1] = 20;
  const double e = std::exp(0.5 * 2 * 3 - 0.5 * 2 * 1);
  const std::vector<double> o = p.oracle();
  EXPECT_DOUBLE_EQ(o[0], 10);
  EXPECT_NEAR(o[1], (10 + 20 * e) / (1 + e), 1e-12);
}

}  // namespace
}  // namespace rebased::kernels
