#include "cores/quadratic_attention/kernel.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/attention_cases.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels::testing {
namespace {

constexpr QuadraticKernel kRebased{0, 0, 1}, kBased{1, 1, 0.5}, kGeneral{0.75, -0.5, 2}, kAffine{2, 1, 0},
    kLinear{0, 1, 0};
constexpr std::initializer_list<Form> kForms = {Form::kAuto, Form::kParallel, Form::kChunked, Form::kRecurrent};

TEST(QuadraticAttentionReference, OneTokenIsItsValue) {
  Case c{.Dk = 2, .Dv = 2, .scale = 0.5, .eps = 0.25};
  const Inputs in{.q = {1, 2}, .k = {3, -1}, .v = {5, -7}, .s0 = {}, .z0 = {}, .d_o = {1, 1}, .d_sT = {}, .d_zT = {}};
  const Outputs out = run_reference<Quadratic>(c, in);
  const double A = 0.25;  // (0.5 * (3 - 2))^2
  EXPECT_DOUBLE_EQ(out.z[0], A);
  EXPECT_DOUBLE_EQ(out.o[0], 5 * A / (A + 0.25));
  EXPECT_DOUBLE_EQ(out.o[1], -7 * A / (A + 0.25));
}

TEST(QuadraticAttentionReference, TwoTokensByHand) {
  Case c{.T = 2, .Dk = 2, .Dv = 1, .kernel = kBased, .eps = 0};
  const Inputs in{
      .q = {1, 0, 2, 1}, .k = {1, 1, 0, -1}, .v = {3, 4}, .s0 = {}, .z0 = {}, .d_o = {1, 1}, .d_sT = {}, .d_zT = {}};
  // Scores 1; 3, -1: weights 1 + s + s^2/2 = 2.5; 8.5, 0.5.
  const Outputs out = run_reference<Quadratic>(c, in);
  EXPECT_DOUBLE_EQ(out.o[0], 3);
  EXPECT_DOUBLE_EQ(out.z[1], 9);
  EXPECT_DOUBLE_EQ(out.o[1], (8.5 * 3 + 0.5 * 4) / 9);
  c.normalize = false;
  EXPECT_DOUBLE_EQ(run_reference<Quadratic>(c, in).o[1], 8.5 * 3 + 0.5 * 4);
}

TEST(QuadraticAttentionReference, StateHoldsMonomialsInTheStatedOrder) {
  Case c{.Dk = 2, .Dv = 1, .kernel = kBased, .states = true};
  Inputs in = random_inputs<Quadratic>(c, 1);
  in.k = {3, -2};
  in.v = {2};
  in.s0.assign(6, 0.0);
  in.z0.assign(6, 0.0);
  const Outputs out = run_reference<Quadratic>(c, in);
  const Values monomials = {1, 3, -2, 9, 4, -6 * std::sqrt(2.0)};
  for (size_t f = 0; f < 6; ++f) {
    EXPECT_NEAR(out.zT[f], monomials[f], 1e-14);
    EXPECT_NEAR(out.sT[f], 2 * monomials[f], 1e-14);
  }
}

// Tokens [begin, end) of one batch row.
Inputs slice(const Case& c, const Inputs& in, int64_t begin, int64_t end) {
  auto rows = [&](const Values& x, int64_t width) {
    return Values(x.begin() + begin * c.H * width, x.begin() + end * c.H * width);
  };
  Inputs part = in;
  part.q = rows(in.q, c.Dk), part.k = rows(in.k, c.Dk);
  part.v = rows(in.v, c.Dv), part.d_o = rows(in.d_o, c.Dv);
  return part;
}

TEST(QuadraticAttentionReference, QuadraticFormEqualsRecurrence) {
  for (const QuadraticKernel& kernel : {kRebased, kBased, kGeneral}) {
    Case c{.T = 9, .H = 2, .Dk = 3, .Dv = 2, .kernel = kernel, .scale = 0.6, .eps = 1e-3, .states = true};
    Inputs in = random_inputs<Quadratic>(c, 3);
    const Outputs whole = run_reference<Quadratic>(c, in);
    Case step = c;
    step.T = 1;
    for (int64_t t = 0; t < c.T; ++t) {
      const Outputs one = run_reference<Quadratic>(step, slice(c, in, t, t + 1));
      for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(one.o[i], whole.o[static_cast<size_t>(t) * 4 + i], 1e-11);
      in.s0 = one.sT, in.z0 = one.zT;
    }
    for (size_t i = 0; i < whole.sT.size(); ++i) EXPECT_NEAR(in.s0[i], whole.sT[i], 1e-12);
  }
}

double loss(const Case& c, const Inputs& in) {
  const Outputs out = run_reference<Quadratic>(c, in);
  double sum = 0;
  for (size_t i = 0; i < out.o.size(); ++i) sum += in.d_o[i] * out.o[i];
  for (size_t i = 0; i < out.sT.size(); ++i) sum += in.d_sT[i] * out.sT[i];
  for (size_t i = 0; i < out.zT.size(); ++i) sum += in.d_zT[i] * out.zT[i];
  return sum;
}

TEST(QuadraticAttentionReference, GradientMatchesFiniteDifferences) {
  for (const QuadraticKernel& kernel : {kRebased, kBased, kGeneral, kAffine}) {
    for (const bool normalize : {true, false}) {
      const Case c{.B = 2,
                   .T = 4,
                   .H = 2,
                   .Dk = 3,
                   .Dv = 2,
                   .kernel = kernel,
                   .scale = 0.7,
                   .eps = 20,
                   .normalize = normalize,
                   .states = true};
      Inputs in = random_inputs<Quadratic>(c, 5);
      const Outputs out = run_reference<Quadratic>(c, in);
      const std::vector<std::pair<Values*, const Values*>> pairs = {
          {&in.q, &out.dq}, {&in.k, &out.dk}, {&in.v, &out.dv}, {&in.s0, &out.d_s0}, {&in.z0, &out.d_z0}};
      for (const auto& [input, gradient] : pairs) {
        for (size_t i = 0; i < input->size(); ++i) {
          const double at = (*input)[i], h = 1e-5;
          (*input)[i] = at + h;
          const double above = loss(c, in);
          (*input)[i] = at - h;
          const double below = loss(c, in);
          (*input)[i] = at;
          // Truncation h^2 and rounding 1e-16 |loss| / h are both near 1e-9; the loss is below 1e3.
          ASSERT_NEAR((above - below) / (2 * h), (*gradient)[i], 1e-7 * (1 + std::abs((*gradient)[i]))) << c.str();
        }
      }
    }
  }
}

// Options that turn over with the case, so that each meets many sizes.
Case turned(int64_t T, int64_t Dk, int64_t Dv, int turn) {
  const QuadraticKernel kernels[] = {kRebased, kBased, kGeneral, kAffine, kRebased, kLinear};
  Case c{.B = 1 + turn % 2, .T = T, .H = 1 + turn % 3, .Dk = Dk, .Dv = Dv};
  c.kernel = kernels[turn % 6];
  c.scale = turn % 4 == 1 ? 1 : 1 / std::sqrt(static_cast<double>(Dk));
  c.eps = turn % 3 == 0 ? 1e-5 : 1e-12;
  // Where the similarity changes sign, a normaliser has no meaning to float precision.
  c.normalize = turn % 5 != 2 && c.kernel.c != 0;
  c.states = turn % 7 < 3;
  c.chunk = turn % 5 == 3 ? 7 : turn % 5 == 4 ? 50 : 0;
  return c;
}

void sweep(std::initializer_list<int64_t> Ts, std::initializer_list<int64_t> Dks, std::initializer_list<int64_t> Dvs,
           int64_t most_work) {
  int turn = 0;
  for (const int64_t T : Ts) {
    for (const int64_t Dk : Dks) {
      for (const int64_t Dv : Dvs) {
        Case c = turned(T, Dk, Dv, turn++);
        const int64_t features = quadratic_feature_count(Dk, c.kernel);
        if (T * Dv * features * c.B * c.H > most_work) c.B = c.H = 1;
        if (T * Dv * features > most_work) c.states = false;
        const bool recurrent = T * Dv * features <= 4 * most_work;
        check_forms<Quadratic>(c, static_cast<uint64_t>(turn),
                               recurrent ? kForms : std::initializer_list<Form>{Form::kParallel, Form::kChunked});
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(QuadraticAttentionCpu, MatchesReferenceForEverySizeAndForm) {
  const ThreadCount one(1);
  sweep({1, 2, 3, 15, 16, 17, 63, 64, 65}, {1, 4, 5, 8, 16, 17}, {1, 2, 5, 16, 21, 64, 65}, 400000);
  sweep({2, 17, 65, 130, 257}, {8, 16, 32, 64}, {2, 5, 21, 64, 65}, 1500000);
  sweep({1, 3, 17, 65, 130}, {65, 96, kMaxKeyDim}, {2, 5, 21, 64}, 6000000);
}

TEST(QuadraticAttentionCpu, EveryThreadCountMatchesReference) {
  for (const int threads : {2, 3}) {
    const ThreadCount scope(threads);
    sweep({1, 17, 130}, {4, 16}, {2, 21, 64}, 200000);
  }
}

TEST(QuadraticAttentionCpu, EveryInstructionSetMatchesReference) {
  const ThreadCount one(1);
  for_each_target([] { sweep({1, 17, 64, 130}, {5, 16, 17}, {1, 5, 16, 21, 64}, 100000); });
}

TEST(QuadraticAttentionCpu, SegmentsOfTimeMatchReferenceAndRepeatBitForBit) {
  for (int threads : {1, 2, 3}) {
    const ThreadCount scope(threads);
    for (const QuadraticKernel& kernel : {kRebased, kBased}) {
      for (const bool states : {false, true}) {
        for (const int64_t Dv : {2, 16, 21}) {
          Case c{.T = 130,
                 .Dk = 5,
                 .Dv = Dv,
                 .kernel = kernel,
                 .scale = 0.5,
                 .states = states,
                 .form = Form::kChunked,
                 .chunk = 16};
          const Inputs in = random_inputs<Quadratic>(c, 11);
          const Outputs want = run_reference<Quadratic>(c, in);
          const Outputs first = run_cpu<Quadratic>(c, in);
          expect_within(first, want, error_bounds<Quadratic>(c, in, want), c.str());
          const Outputs again = run_cpu<Quadratic>(c, in, {.scratch_fill = 3});
          for (const auto& [name, field] : Outputs::fields()) EXPECT_EQ(first.*field, again.*field) << name;
        }
      }
    }
  }
}

TEST(QuadraticAttentionCpu, FinalStateMayTakeTheInitialStatesPlace) {
  for (const int64_t T : {1, 5, 70}) {
    const Case c{.B = 2, .T = T, .H = 2, .Dk = 6, .Dv = 19, .scale = 0.4, .states = true};
    check_forms<Quadratic>(c, 17, kForms, {.in_place = true});
  }
}

TEST(QuadraticAttentionCpu, SplittingAtAnyTokenChangesNothing) {
  for (const Form form : kForms) {
    Case c{.T = 21, .H = 2, .Dk = 5, .Dv = 3, .kernel = kBased, .scale = 0.5, .states = true, .form = form, .chunk = 8};
    const Inputs in = random_inputs<Quadratic>(c, 19);
    Outputs want = run_reference<Quadratic>(c, in), bound = error_bounds<Quadratic>(c, in, want);
    for (int64_t t = 1; t < c.T; ++t) {
      Case part = c;
      part.T = t;
      Outputs joined = run_cpu<Quadratic>(part, slice(c, in, 0, t));
      Inputs rest = slice(c, in, t, c.T);
      rest.s0 = joined.sT, rest.z0 = joined.zT;
      part.T = c.T - t;
      const Outputs tail = run_cpu<Quadratic>(part, rest);
      joined.o.insert(joined.o.end(), tail.o.begin(), tail.o.end());
      for (size_t i = 0; i < want.o.size(); ++i) ASSERT_NEAR(joined.o[i], want.o[i], bound.o[i]) << "split " << t;
      for (size_t i = 0; i < want.sT.size(); ++i) ASSERT_NEAR(tail.sT[i], want.sT[i], bound.sT[i]) << "split " << t;
    }
  }
}

// N of T tokens of each row, ascending, not the same ones in every row.
std::vector<int64_t> some_tokens(int64_t B, int64_t T, int64_t N, uint64_t seed) {
  Rng rng(seed);
  std::vector<int64_t> tokens;
  for (int64_t b = 0; b < B; ++b) {
    std::vector<int64_t> all(static_cast<size_t>(T)), some;
    std::iota(all.begin(), all.end(), 0);
    std::sample(all.begin(), all.end(), std::back_inserter(some), N, std::mt19937(static_cast<uint32_t>(rng.next())));
    tokens.insert(tokens.end(), some.begin(), some.end());
  }
  return tokens;
}

TEST(QuadraticAttentionReference, AFewQueriesGetTheOutputsOfThoseTokens) {
  Case c{.B = 2, .T = 7, .H = 3, .Dk = 3, .Dv = 2, .scale = 0.6};
  const Inputs all = random_inputs<Quadratic>(c, 41);
  const Outputs whole = run_reference<Quadratic>(c, all);
  c.queries = {1, 4, 6, 0, 1, 5};
  Inputs few = random_inputs<Quadratic>(c, 43);
  few.k = all.k, few.v = all.v;
  const auto take = [&](const Values& from, size_t width) {
    Values some;
    for (size_t i = 0; i < c.queries.size(); ++i) {
      const size_t row = (i / 3 * 7 + static_cast<size_t>(c.queries[i])) * width;
      some.insert(some.end(), from.begin() + static_cast<long>(row), from.begin() + static_cast<long>(row + width));
    }
    return some;
  };
  few.q = take(all.q, 9);
  const Outputs some = run_reference<Quadratic>(c, few);
  EXPECT_EQ(some.o, take(whole.o, 6));
  EXPECT_EQ(some.z, take(whole.z, 3));
}

TEST(QuadraticAttentionReference, GradientOfAFewQueriesIsThatOfAllWithTheOthersUnasked) {
  Case c{.B = 2, .T = 7, .H = 1, .Dk = 3, .Dv = 2, .kernel = kBased, .scale = 0.6, .eps = 20};
  Inputs all = random_inputs<Quadratic>(c, 47);
  Case some = c;
  some.queries = {2, 3, 6, 0, 4, 6};
  Inputs few = all;
  few.q.clear(), few.d_o.clear();
  const Values d_o = all.d_o;
  std::fill(all.d_o.begin(), all.d_o.end(), 0.0);
  for (size_t i = 0; i < some.queries.size(); ++i) {
    const auto row = static_cast<long>(i / 3 * 7) + some.queries[i];
    few.q.insert(few.q.end(), all.q.begin() + row * 3, all.q.begin() + row * 3 + 3);
    few.d_o.insert(few.d_o.end(), d_o.begin() + row * 2, d_o.begin() + row * 2 + 2);
    std::copy_n(d_o.begin() + row * 2, 2, all.d_o.begin() + row * 2);
  }
  const Outputs want = run_reference<Quadratic>(c, all), got = run_reference<Quadratic>(some, few);
  EXPECT_EQ(got.dk, want.dk);
  EXPECT_EQ(got.dv, want.dv);
  for (size_t i = 0; i < some.queries.size(); ++i) {
    const size_t row = i / 3 * 7 + static_cast<size_t>(some.queries[i]);
    for (size_t j = 0; j < 3; ++j) EXPECT_EQ(got.dq[3 * i + j], want.dq[3 * row + j]);
  }
}

void sweep_few_queries(std::initializer_list<int64_t> Ts, std::initializer_list<int64_t> Dvs) {
  int turn = 0;
  for (const int64_t T : Ts) {
    for (const int64_t N : {int64_t{1}, T / 4, T / 2, T - 1, T}) {
      for (const int64_t Dv : Dvs) {
        if (N < 1) continue;
        Case c = turned(T, turn % 2 == 0 ? 16 : 5, Dv, turn);
        c.states = false;
        c.queries = some_tokens(c.B, T, N, static_cast<uint64_t>(++turn));
        check_forms<Quadratic>(c, static_cast<uint64_t>(turn), {Form::kAuto, Form::kParallel});
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(QuadraticAttentionCpu, AFewQueriesMatchReference) {
  for (const int threads : {1, 2, 3}) {
    const ThreadCount scope(threads);
    sweep_few_queries({1, 2, 17, 48, 64, 65, 130, 257}, {1, 2, 5, 8, 16, 21, 64});
  }
}

TEST(QuadraticAttentionCpu, AFewQueriesMatchReferenceOnEveryInstructionSet) {
  const ThreadCount one(1);
  for_each_target([] { sweep_few_queries({17, 130}, {5, 21, 64}); });
}

TEST(QuadraticAttention, AFewQueriesCostLessUpToAPoint) {
  static_assert(few_queries_cost_less(256, 64, 16, 5, kRebased));
  static_assert(!few_queries_cost_less(256, 128 + 1, 16, 5, kRebased));
  static_assert(few_queries_cost_less(65536, 16, 16, 5, kRebased));
  static_assert(!few_queries_cost_less(65536, 4096, 16, 5, kRebased));
  static_assert(!few_queries_cost_less(1, 1, 16, 64, kBased));
}

TEST(QuadraticAttentionCpu, RowsThatSeeNothingAreZeroWithFiniteGradients) {
  Case c{.T = 20, .Dk = 4, .Dv = 3, .scale = 0.5};
  Inputs in = random_inputs<Quadratic>(c, 23);
  for (size_t i = 0; i < 5 * 4; ++i) in.q[i] = 0;
  for (const int64_t Dv : {3, 16}) {
    c.Dv = Dv;
    Rng rng(29);
    in.v = random_values(c.T * Dv, rng);
    in.d_o = random_values(c.T * Dv, rng);
    for (const Form form : kForms) {
      c.form = form;
      const Outputs out = run_cpu<Quadratic>(c, in);
      for (size_t i = 0; i < static_cast<size_t>(5 * Dv); ++i) EXPECT_EQ(out.o[i], 0);
      for (const auto& [name, field] : Outputs::fields()) {
        for (double value : out.*field) EXPECT_TRUE(std::isfinite(value)) << name;
      }
    }
  }
}

TEST(QuadraticAttentionCpu, StateGradientsMayBeAskedForAlone) {
  Case c{.T = 40, .Dk = 4, .Dv = 5, .scale = 0.5, .states = true, .chunk = 16};
  const Inputs in = random_inputs<Quadratic>(c, 31);
  Inputs fresh = in;
  fresh.s0.clear(), fresh.z0.clear(), fresh.d_zT.clear();
  for (const Form form : {Form::kParallel, Form::kChunked}) {
    c.form = form;
    const Outputs want = run_reference<Quadratic>(c, fresh);
    expect_within(run_cpu<Quadratic>(c, fresh), want, error_bounds<Quadratic>(c, fresh, want), c.str());
  }
}

TEST(QuadraticAttentionCpu, ChoosesTheFormByCost) {
  QuadraticAttentionArgs<float> args;
  args.B = 1, args.T = 64, args.H = 12, args.Dk = 16, args.Dv = 64;
  EXPECT_EQ(cpu::choose_form(args), Form::kParallel);
  args.T = 4096;
  EXPECT_EQ(cpu::choose_form(args), Form::kChunked);
  float state = 0;
  args.sT = args.zT = &state;
  EXPECT_EQ(cpu::choose_form(args), Form::kChunked);
  args.T = 1;
  EXPECT_EQ(cpu::choose_form(args), Form::kRecurrent);
  args.form = Form::kParallel;
  EXPECT_EQ(cpu::choose_form(args), Form::kParallel);
}

}  // namespace
}  // namespace rebased::kernels::testing
