#include "cores/core_case.h"

#include <array>
#include <cmath>
#include <limits>

#include "cores/dropout/dropout.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/long_conv/long_conv.h"
#include "cores/norm/norm.h"
#include "cores/packed_squares/packed_squares.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "cores/rope/rope.h"
#include "cores/short_conv/short_conv.h"
#include "cores/softmax/softmax.h"
#include "cores/softmax_attention/softmax_attention.h"
#include "cores/swiglu/swiglu.h"
#include "cores/taylor_features/taylor_features.h"

namespace rebased::testing {
namespace {

using Cases = std::vector<CoreCase>;

// Every width up to two vectors of the widest instruction set, and one more; a few rows, and many.
Cases rows_of_every_width(const std::shared_ptr<const Core>& core, const char* symbol, int64_t step = 1,
                          std::initializer_list<int64_t> wide = {64, 100, 257}) {
  Cases cases;
  for (int64_t C = 1; C <= 33; ++C) cases.push_back({.core = core, .dims = {{"...", 1 + C % 5}, {symbol, step * C}}});
  for (int64_t C : wide) cases.push_back({.core = core, .dims = {{"...", 300}, {symbol, step * C}}});
  cases.push_back({.core = core, .dims = {{"...", 0}, {symbol, step * 7}}});
  return cases;
}

Cases dropout_cases() {
  Cases cases;
  for (int64_t n : {0, 1, 7, 16, 33, 1000, 20000}) {
    for (double p : {0.0, 0.25, 0.9}) {
      cases.push_back({.core = std::make_shared<DropoutCore>(p, 11 + static_cast<uint64_t>(n)), .dims = {{"...", n}}});
    }
  }
  return cases;
}

Cases norm_cases() {
  Cases cases;
  for (const bool centred : {false, true}) {
    const auto alone = std::make_shared<NormCore>(NormOptions{1e-2, centred});
    const auto sum = std::make_shared<AddNormCore>(NormOptions{1e-2, centred});
    const std::vector<std::set<std::string>> absences =
        centred ? std::vector<std::set<std::string>>{{}, {"gamma"}, {"beta"}, {"gamma", "beta"}}
                : std::vector<std::set<std::string>>{{}, {"weight"}};
    for (const std::shared_ptr<const Core>& core :
         {std::shared_ptr<const Core>(alone), std::shared_ptr<const Core>(sum)}) {
      size_t turn = 0;
      for (CoreCase c : rows_of_every_width(core, "C")) {
        if (c.dims["C"] == 1) continue;  // a centred row of one is all rounding
        c.absent = absences[turn++ % absences.size()];
        cases.push_back(c);
      }
    }
  }
  return cases;
}

Cases rope_cases() {
  Cases cases;
  const auto positions = [](const std::string&, int64_t count) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(i * i % 1000);
    return ids;
  };
  for (int64_t D = 2; D <= 40; D += 2) {
    for (const int64_t rotary : {int64_t{0}, D / 4 * 2}) {
      cases.push_back(
          {.core = std::make_shared<RopeCore>(RopeOptions{.rotary = rotary, .base = D == 8 ? 10000.0 : 100.0}),
           .dims = {{"B", 2}, {"T", 5}, {"H", 1 + D % 3}, {"D", D}},
           .ids = positions});
    }
  }
  cases.push_back({.core = std::make_shared<RopeCore>(RopeOptions{}),
                   .dims = {{"B", 3}, {"T", 70}, {"H", 8}, {"D", 160}},
                   .ids = positions});
  return cases;
}

// Documents in rows of T tokens, -1 for padding, of a kind that changes with the row: behind what the state has read;
// between padding; short and ever longer ones; none at all.
std::vector<int64_t> packed_row(int64_t kind, int64_t T) {
  std::vector<int64_t> positions(static_cast<size_t>(T), -1);
  if (kind % 4 == 3) return positions;
  const int64_t pad = kind % 4 == 1 ? T / 5 : 0;
  int64_t position = kind % 4 == 0 ? 3 : 0, length = kind % 4 == 2 ? 1 : T / 3;
  for (int64_t t = pad, left = length; t < T - pad; ++t, --left) {
    if (left == 0) position = 0, left = ++length;
    positions[static_cast<size_t>(t)] = position++;
  }
  return positions;
}

// The same core on rows of documents.
CoreCase packed(CoreCase c, int64_t kind) {
  const int64_t T = c.dims.at("T");
  c.ids = [kind, T](const std::string&, int64_t count) {
    std::vector<int64_t> all;
    for (int64_t row = 0; row * T < count; ++row) {
      const std::vector<int64_t> one = packed_row(kind + row, T);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  };
  return c;
}

// And every third of the cases on rows of documents.
void add_packed(Cases& cases) {
  const size_t n = cases.size();
  for (size_t i = 0; i < n; i += 3) cases.push_back(packed(cases[i], static_cast<int64_t>(i / 3)));
}

Cases short_conv_cases() {
  Cases cases;
  int turn = 0;
  const auto add = [&](int64_t B, int64_t T, int64_t C, int64_t K) {
    ++turn;
    CoreCase c{.core = std::make_shared<ShortConvCore>(turn % 2 == 0),
               .dims = {{"B", B}, {"T", T}, {"C", C}, {"K", K}}};
    if (turn % 3 == 0) c.absent = {"bias"};
    c.states = turn % 5 < 2;
    cases.push_back(c);
  };
  for (int64_t C = 1; C <= 33; ++C) {
    for (int64_t K : {1, 2, 3, 4, 5}) add(2, 7, C, K);
  }
  for (int64_t T : {1, 2, 15, 16, 17, 40}) {
    for (int64_t K : {1, 3, 4, 18, 64, 65, 130}) {
      for (int repeat = 0; repeat < 4; ++repeat) add(2, T, 5, K);
    }
  }
  for (int64_t K : {4, 66}) add(1, 21, 1100, K);
  add(5, 33, 40, 4);
  add_packed(cases);
  return cases;
}

Cases long_conv_cases() {
  constexpr std::array<int64_t, 4> kSizes[] = {{1, 1, 1, 1},    {2, 7, 5, 9},   {3, 8, 16, 8},    {1, 9, 17, 12},
                                               {2, 33, 33, 40}, {1, 70, 3, 70}, {2, 130, 20, 200}};
  Cases cases;
  for (const auto& [B, T, C, L] : kSizes) {
    cases.push_back({.core = std::make_shared<LongConvCore>(), .dims = {{"B", B}, {"T", T}, {"C", C}, {"L", L}}});
  }
  return cases;
}

Cases taylor_features_cases() {
  Cases cases = rows_of_every_width(std::make_shared<TaylorFeaturesCore>(false), "D", 1, {40});
  const Cases packed = rows_of_every_width(std::make_shared<TaylorFeaturesCore>(true), "D", 1, {40});
  cases.insert(cases.end(), packed.begin(), packed.end());
  return cases;
}

struct Head {
  int64_t T, D, Dv;
};

// Below, at and above the widths of vectors, tiles and chunks; narrow values and wide ones.
std::vector<Head> heads() {
  std::vector<Head> all;
  for (int64_t T : {1, 2, 3, 16, 17, 64, 65}) {
    for (const auto& [D, Dv] : {std::pair<int64_t, int64_t>{1, 1}, {5, 16}, {16, 5}, {8, 21}, {16, 65}})
      all.push_back({T, D, Dv});
  }
  all.insert(all.end(), {{130, 16, 2}, {257, 16, 64}, {130, 33, 40}});
  return all;
}

constexpr Form kForms[] = {Form::kAuto, Form::kParallel, Form::kChunked, Form::kRecurrent};

// The state lets a chunk begin behind it; the normaliser stays positive by positive features and by eps.
Cases linear_attention_cases() {
  Cases cases;
  int turn = 0;
  for (const Head& head : heads()) {
    for (const Form form : kForms) {
      ++turn;
      const LinearOptions options{.scale = turn % 4 == 1 ? 1 : 1 / std::sqrt(static_cast<double>(head.D)),
                                  .eps = 0.1,
                                  .normalize = turn % 5 != 2,
                                  .form = form,
                                  .chunk = turn % 3 == 1 ? 7 : 0};
      cases.push_back(
          {.core = std::make_shared<LinearAttentionCore>(options),
           .dims = {{"B", 1 + turn % 2}, {"T", head.T}, {"H", 1 + turn % 3}, {"F", head.D}, {"Dv", head.Dv}},
           .states = turn % 2 == 0,
           .positive = {"q", "k"},
           .tolerance = 1e-5});
    }
  }
  add_packed(cases);
  return cases;
}

// Logarithms of decays from normal draws: as models have them, all but none, and extreme ones side by side.
double weak_decay(double x) { return -0.1 * std::abs(x); }
double strong_decay(double x) { return -3 * std::abs(x); }
double extreme_decay(double x) {
  if (x < -1) return -std::numeric_limits<double>::infinity();
  if (x < -0.7) return -1000;
  return x > 0.7 ? -1e-7 * x : x > 0.5 ? 0 : -std::abs(x);
}

CoreCase decayed_case(const Head& head, Decay decay, Form form, int turn) {
  constexpr double (*kMaps[])(double) = {weak_decay, extreme_decay, strong_decay};
  const LinearOptions options{.scale = turn % 4 == 1 ? 1 : 1 / std::sqrt(static_cast<double>(head.D)),
                              .eps = 0.1,
                              .normalize = turn % 5 < 2,
                              .form = form,
                              .chunk = turn % 3 == 1 ? 7 : 0};
  CoreCase c{.core = std::make_shared<LinearAttentionCore>(options, decay),
             .dims = {{"B", 1 + turn % 2}, {"T", head.T}, {"H", 1 + turn % 3}, {"F", head.D}, {"Dv", head.Dv}},
             .states = turn % 7 < 4,
             .mapped = {{"log_decay", kMaps[turn % 3]}},
             .tolerance = 1e-5};
  if (turn % 4 < 2) c.absent = {"bonus"};
  if (options.normalize) c.positive = {"q", "k", "bonus"};
  return c;
}

// Two forms in turn for each head and kind of decay.
Cases decayed_attention_cases() {
  Cases cases;
  int turn = 0;
  for (const Head& head : heads()) {
    for (const Decay decay : {Decay::kHead, Decay::kToken, Decay::kFeature}) {
      for (const int form : {turn % 4, (turn + 2) % 4})
        cases.push_back(decayed_case(head, decay, kForms[form], ++turn));
    }
  }
  return cases;
}

Cases linear_attention_families() {
  Cases cases = linear_attention_cases();
  const Cases decayed = decayed_attention_cases();
  cases.insert(cases.end(), decayed.begin(), decayed.end());
  return cases;
}

Cases quadratic_attention_cases() {
  constexpr QuadraticKernel kKernels[] = {{0, 0, 1}, {1, 1, 0.5}, {0.5, -0.4, 0.3}, {2, 1, 0}, {0, 1, 0}};
  Cases cases;
  int turn = 0;
  for (const Head& head : heads()) {
    for (const Form form : kForms) {
      ++turn;
      const QuadraticOptions options{.kernel = kKernels[turn % 5],
                                     .scale = 1 / std::sqrt(static_cast<double>(head.D)),
                                     .eps = 0.1,
                                     .normalize = turn % 5 < 2,
                                     .form = form,
                                     .chunk = turn % 3 == 1 ? 7 : 0};
      cases.push_back(
          {.core = std::make_shared<QuadraticAttentionCore>(options),
           .dims = {{"B", 1 + turn % 2}, {"T", head.T}, {"H", 1 + turn % 3}, {"Dk", head.D}, {"Dv", head.Dv}},
           .states = turn % 2 == 0,
           .tolerance = 2e-5});
    }
  }
  add_packed(cases);
  const QuadraticOptions few{.scale = 0.3, .eps = 0.1, .queries = {0, 7, 69, 3, 4, 5}};
  for (int64_t Dv : {5, 21, 64}) {
    cases.push_back({.core = std::make_shared<QuadraticAttentionCore>(few),
                     .dims = {{"B", 2}, {"T", 70}, {"N", 3}, {"H", 2}, {"Dk", 9}, {"Dv", Dv}}});
  }
  return cases;
}

// Queries are the last T tokens; every fourth slot of a longer cache is empty.
std::vector<int64_t> positions_of(int64_t B, int64_t T, int64_t S, const std::string& operand) {
  std::vector<int64_t> ids;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < (operand == "query_pos" ? T : S); ++i) {
      ids.push_back(operand == "query_pos" ? S - T + i : T < S && i % 4 == 1 ? -1 : i);
    }
  }
  return ids;
}

CoreCase softmax_attention_case(const AttentionOptions& options, const std::array<int64_t, 7>& sizes) {
  const auto [B, T, S, H, Hkv, Dk, Dv] = sizes;
  return {.core = std::make_shared<SoftmaxAttentionCore>(options),
          .dims = {{"B", B}, {"T", T}, {"S", S}, {"H", H}, {"Hkv", Hkv}, {"Dk", Dk}, {"Dv", Dv}},
          .absent = {"query_first"},
          .ids = [B = B, T = T, S = S](const std::string& operand, int64_t) { return positions_of(B, T, S, operand); }};
}

// Each query sees nothing before a place of its own.
CoreCase from_places(CoreCase c, int64_t stride) {
  const auto positions = c.ids;
  c.ids = [positions, stride](const std::string& operand, int64_t count) {
    if (operand != "query_first") return positions(operand, count);
    std::vector<int64_t> first;
    for (const int64_t at : positions("query_pos", count)) first.push_back(at / stride * stride);
    return first;
  };
  c.absent = {};
  return c;
}

Cases softmax_attention_cases() {
  Cases cases;
  for (int64_t D = 1; D <= 33; ++D) cases.push_back(softmax_attention_case({.scale = 0.5}, {1, 9, 9, 1, 1, D, 34 - D}));
  for (int64_t T : {1, 3, 7, 8, 64, 65, 130}) {
    for (int64_t S : {T, T + 1, T + 64, T + 150}) {
      cases.push_back(softmax_attention_case({.scale = 0.25}, {2, T, S, 2, 2, 16, 16}));
    }
    cases.push_back(softmax_attention_case({.scale = 0.3}, {1, T, T + 20, 6, 2, 8, 20}));
    cases.push_back(
        softmax_attention_case({.scale = 0.3, .dropout = 0.25, .dropout_key = 3}, {1, T, T + 20, 4, 1, 8, 32}));
  }
  for (int64_t window : {1, 5, 64, 100}) {
    cases.push_back(softmax_attention_case({.scale = 0.3, .window = window}, {1, 90, 90, 2, 1, 8, 16}));
  }
  cases.push_back(softmax_attention_case({.scale = 0.3, .additive_mask = true}, {1, 70, 70, 2, 2, 8, 16}));
  // One query over many slots is split over threads; many rows share a step.
  cases.push_back(softmax_attention_case({.scale = 0.125}, {1, 1, 1000, 2, 1, 64, 40}));
  cases.push_back(softmax_attention_case({.scale = 0.125, .window = 300}, {1, 1, 2048, 1, 1, 64, 64}));
  cases.push_back(softmax_attention_case({.scale = 0.3}, {1, 600, 600, 4, 4, 8, 16}));
  cases.push_back(softmax_attention_case({.scale = 0.3, .window = 200}, {2, 515, 700, 2, 2, 8, 20}));
  const size_t n = cases.size();
  for (size_t i = 0; i < n; i += 2) {
    const auto& core = static_cast<const SoftmaxAttentionCore&>(*cases[i].core);
    if (core.options.window == 0) cases.push_back(from_places(cases[i], 1 + static_cast<int64_t>(i) * 7 % 90));
  }
  return cases;
}

}  // namespace

const std::vector<CoreFamily>& core_families() {
  static const std::vector<CoreFamily> families = {
      {"dropout", dropout_cases()},
      {"linear_attention", linear_attention_families()},
      {"long_conv", long_conv_cases()},
      {"norm", norm_cases()},
      {"packed_squares", rows_of_every_width(std::make_shared<PackedSquaresCore>(), "D", 1, {40})},
      {"quadratic_attention", quadratic_attention_cases()},
      {"rope", rope_cases()},
      {"short_conv", short_conv_cases()},
      {"softmax", rows_of_every_width(std::make_shared<SoftmaxCore>(), "C")},
      {"softmax_attention", softmax_attention_cases()},
      {"swiglu", rows_of_every_width(std::make_shared<SwigluCore>(), "2C", 2)},
      {"taylor_features", taylor_features_cases()},
  };
  return families;
}

}  // namespace rebased::testing
