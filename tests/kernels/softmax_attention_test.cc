#include "cores/softmax_attention/kernel.h"

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
  double dropout = 0;
};

struct Problem {
  // Queries are the last T of S positions; slots hold keys in order.
  explicit Problem(const Case& size)
      : s(size),
        q(random_buffer(s.B * s.T * s.H * s.Dk, 1)),
        k(random_buffer(s.B * s.S * s.Hkv * s.Dk, 2)),
        v(random_buffer(s.B * s.S * s.Hkv * s.Dv, 3)),
        d_o(random_buffer(s.B * s.T * s.H * s.Dv, 4)) {
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
    a.dropout = s.dropout;
    a.dropout_key = 77;
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

  // Gradients for output gradients `d_o`; the forward pass gives o and lse.
  struct Gradients {
    Buffer<float> dq, dk, dv;
  };
  Gradients run_grad() const {
    Buffer<float> o(s.B * s.T * s.H * s.Dv), lse(s.B * s.T * s.H);
    SoftmaxAttentionGradArgs<float> g;
    g.forward = args<float>(q.data(), k.data(), v.data(), o.data());
    g.forward.lse = lse.data();
    Buffer<float> scratch(cpu::softmax_attention_scratch(g.forward));
    g.forward.scratch = scratch.data();
    cpu::softmax_attention(g.forward);
    Gradients out{Buffer<float>(q.size()), Buffer<float>(k.size()), Buffer<float>(v.size())};
    g.d_o = d_o.data(), g.dq = out.dq.data(), g.dk = out.dk.data(), g.dv = out.dv.data();
    Buffer<float> grad_scratch(cpu::softmax_attention_grad_scratch(g));
    g.scratch = grad_scratch.data();
    cpu::softmax_attention_grad(g);
    return out;
  }

  struct ExactGradients {
    std::vector<double> dq, dk, dv;
  };
  ExactGradients oracle_grad() const {
    std::vector<double> o(static_cast<size_t>(s.B * s.T * s.H * s.Dv)), lse(static_cast<size_t>(s.B * s.T * s.H));
    const auto qs = q.doubles(), ks = k.doubles(), vs = v.doubles(), gs = d_o.doubles();
    SoftmaxAttentionGradArgs<double> g;
    g.forward = args<double>(qs.data(), ks.data(), vs.data(), o.data());
    g.forward.lse = lse.data();
    reference::softmax_attention(g.forward);
    ExactGradients out{std::vector<double>(qs.size()), std::vector<double>(ks.size()), std::vector<double>(vs.size())};
    g.d_o = gs.data(), g.dq = out.dq.data(), g.dk = out.dk.data(), g.dv = out.dv.data();
    reference::softmax_attention_grad(g);
    return out;
  }

  // Relative to the largest element: a weight's relative error as in tolerance(), times sums of a few large terms.
  void expect_gradients_match(bool masked_scores_matter = false) const {
    SCOPED_TRACE(testing::Message() << "B " << s.B << " T " << s.T << " S " << s.S << " H " << s.H << "/" << s.Hkv
                                    << " Dk " << s.Dk << " Dv " << s.Dv << " window " << s.window);
    const Gradients found = run_grad();
    const ExactGradients exact = oracle_grad();
    auto expect = [&](const Buffer<float>& got, const std::vector<double>& want, const char* what) {
      double largest = 0;
      for (double x : want) largest = std::max(largest, std::abs(x));
      expect_near(got, want, 0, 4 * tolerance(masked_scores_matter) * std::max(largest, 1e-3), what);
    };
    expect(found.dq, exact.dq, "dq");
    expect(found.dk, exact.dk, "dk");
    expect(found.dv, exact.dv, "dv");
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
  Buffer<float> q, k, v, d_o;
  std::vector<int64_t> query_pos, key_pos;
};

// A few rows and many, heads that share keys, windows; a dropped weight's sums are those of fewer, larger terms.
TEST(SoftmaxAttention, DropsTheWeightsThatTheReferenceDrops) {
  for_each_target([] {
    for (const Case& c : {Case{2, 3, 70, 2, 1, 8, 8, 0, false, 0.5}, Case{1, 100, 130, 4, 2, 8, 21, 0, false, 0.25},
                          Case{1, 40, 40, 1, 1, 4, 16, 7, false, 0.25}, Case{1, 40, 40, 1, 1, 4, 16, 7, true, 0.25}}) {
      Problem problem(c);
      problem.expect_matches(c.additive_mask);
      problem.expect_gradients_match(c.additive_mask);
    }
  });
  EXPECT_NE(Problem({1, 9, 9, 1, 1, 4, 4, 0, false, 0.5}).run().values(),
            Problem({1, 9, 9, 1, 1, 4, 4}).run().values());
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

TEST(SoftmaxAttention, MaximaRiseInStepsOfAnySize) {
  for_each_target([] {
    for (int64_t T : {1, 20}) {
      for (float rise : {0.01f, 0.1f, 0.3f, -0.1f}) {  // of scores from slot to slot
        Problem p({1, T, 400, 1, 1, 1, 8});
        std::fill_n(p.q.data(), T, 2.0f);
        for (int64_t s = 0; s < 400; ++s) p.k[s] = rise * static_cast<float>(s);
        p.expect_matches();
      }
    }
  });
}

TEST(SoftmaxAttention, PositionsMayBeFarFromZeroAndFromEachOther) {
  for_each_target([] {
    for (int64_t T : {1, 40}) {
      for (int64_t window : {0, 50}) {
        Problem p({1, T, 200, 1, 1, 8, 16, window});
        for (int64_t& position : p.query_pos) position += int64_t{1} << 40;
        for (int64_t& position : p.key_pos) position += int64_t{1} << 40;
        p.key_pos[70] = 3;
        p.key_pos[80] = int64_t{1} << 50;
        p.expect_matches();
      }
    }
  });
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

TEST(SoftmaxAttentionGrad, HonoursWindowsAndMasks) {
  for_each_target([] {
    for (int64_t window : {1, 5, 64, 100}) Problem({1, 90, 90, 2, 1, 8, 16, window}).expect_gradients_match();
    Problem({1, 70, 70, 2, 2, 8, 16, 0, true}).expect_gradients_match();
    Problem p({1, 20, 70, 1, 1, 8, 16, 0, true});
    std::fill(p.query_pos.begin(), p.query_pos.end(), -1);  // sees nothing: the hidden keys share the weight
    p.expect_gradients_match(true);
  });
}

TEST(SoftmaxAttentionGrad, EmptySlotsAndBlindQueriesGetZeros) {
  for_each_target([] {
    Problem p({2, 30, 100, 2, 1, 8, 16});
    p.query_pos[3] = -1;
    for (size_t i = 0; i < p.key_pos.size(); i += 3) p.key_pos[i] = -1;
    p.expect_gradients_match();
    for (size_t i = 0; i < p.key_pos.size(); i += 3) {
      const auto slot = static_cast<int64_t>(i);
      std::fill_n(p.k.data() + slot * 8, 8, std::numeric_limits<float>::quiet_NaN());
      std::fill_n(p.v.data() + slot * 16, 16, std::numeric_limits<float>::quiet_NaN());
    }
    const Problem::Gradients found = p.run_grad();
    for (int64_t c = 0; c < 8; ++c) EXPECT_EQ(found.dk.data()[c], 0.0f);
    for (int64_t c = 0; c < 2 * 8; ++c) EXPECT_EQ(found.dq.data()[3 * 2 * 8 + c], 0.0f);
    for (float x : found.dq.values()) EXPECT_TRUE(std::isfinite(x));
  });
}

}  // namespace
}  // namespace rebased::kernels
