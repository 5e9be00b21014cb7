#include "cores/linear_attention/kernel.h"

#include "kernels/attention_cases.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels::testing {
namespace {

constexpr std::initializer_list<Form> kForms = {Form::kAuto, Form::kParallel, Form::kChunked, Form::kRecurrent};

TEST(LinearAttentionReference, TwoTokensByHand) {
  Case c{.T = 2, .Dk = 2, .Dv = 1, .scale = 0.5, .eps = 1};
  const Inputs in{
      .q = {1, 0, 2, 1}, .k = {1, 1, 0, 3}, .v = {3, 4}, .s0 = {}, .z0 = {}, .d_o = {1, 1}, .d_sT = {}, .d_zT = {}};
  const Outputs out = run_reference<Linear>(c, in);  // scaled scores 0.5; 1.5, 1.5
  EXPECT_DOUBLE_EQ(out.o[0], 0.5 * 3 / 1.5);
  EXPECT_DOUBLE_EQ(out.z[1], 3);
  EXPECT_DOUBLE_EQ(out.o[1], (1.5 * 3 + 1.5 * 4) / 4);
}

void sweep(std::initializer_list<int64_t> Ts, std::initializer_list<int64_t> Fs, std::initializer_list<int64_t> Dvs) {
  int turn = 0;
  for (const int64_t T : Ts) {
    for (const int64_t F : Fs) {
      for (const int64_t Dv : Dvs) {
        ++turn;
        Case c{.B = 1 + turn % 2, .T = T, .H = 1 + turn % 3, .Dk = F, .Dv = Dv};
        c.scale = turn % 4 == 1 ? 1 : 1 / std::sqrt(static_cast<double>(F));
        c.eps = turn % 3 == 0 ? 1e-5 : 1e-12;
        c.normalize = turn % 5 != 2;
        c.states = turn % 2 == 0;
        c.chunk = turn % 5 == 3 ? 7 : turn % 5 == 4 ? 50 : 0;
        check_forms<Linear>(c, static_cast<uint64_t>(turn), kForms, {.in_place = turn % 4 == 0});
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(LinearAttentionCpu, MatchesReferenceForEverySizeAndForm) {
  const ThreadCount one(1);
  sweep({1, 2, 3, 16, 17, 64, 65}, {1, 5, 16, 33}, {1, 5, 16, 21, 65});
  sweep({130, 257}, {16, 100, 273}, {2, 64});
}

TEST(LinearAttentionCpu, EveryThreadCountMatchesReference) {
  for (const int threads : {2, 3}) {
    const ThreadCount scope(threads);
    sweep({2, 65, 130}, {16}, {5, 21, 64});
  }
}

TEST(LinearAttentionCpu, EveryInstructionSetMatchesReference) {
  const ThreadCount one(1);
  for_each_target([] { sweep({1, 17, 70}, {4, 17, 33}, {5, 21, 64}); });
}

TEST(LinearAttentionCpu, ChoosesTheFormByCost) {
  LinearAttentionArgs<float> args;
  args.B = 1, args.T = 16, args.H = 4, args.F = 64, args.Dv = 64;
  EXPECT_EQ(cpu::choose_form(args), Form::kParallel);
  args.T = 4096;
  EXPECT_EQ(cpu::choose_form(args), Form::kChunked);
}

}  // namespace
}  // namespace rebased::kernels::testing
