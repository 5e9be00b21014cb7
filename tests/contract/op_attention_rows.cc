// Rows of the operations that attend.

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "contract/op_row_list.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "cores/softmax_attention/softmax_attention.h"

namespace rebased::testing {

Value eighths(Engine& engine, const Value& x) {
  const int64_t B = x.size(0), T = x.size(1), length = std::clamp<int64_t>(T / 8, 1, 128);
  std::vector<int64_t> positions(static_cast<size_t>(B * T));
  for (int64_t i = 0, left = 0; i < B * T; i += left) {  // without a division a token: benchmarks time it too
    left = std::min(length, T - i % T);
    std::iota(positions.begin() + i, positions.begin() + i + left, 0);
  }
  return write_ids(engine, Shape({B, T}), positions);
}

namespace {

// q, k, v and, for states, s [B, H, F, Dv] and z [B, H, F].
Sizes attention_sizes(const std::function<int64_t(int64_t)>& features) {
  Sizes sizes;
  for (int64_t T : {1, 2, 33, 65}) {
    for (const auto& [Dk, Dv] : {std::pair<int64_t, int64_t>(1, 3), {5, 7}, {16, 16}, {8, 33}}) {
      const int64_t B = 1 + T % 2, H = 2, F = features(Dk);
      sizes.push_back(
          {Shape({B, T, H, Dk}), Shape({B, T, H, Dk}), Shape({B, T, H, Dv}), Shape({B, H, F, Dv}), Shape({B, H, F})});
    }
  }
  return sizes;
}

constexpr std::tuple<const char*, Form, int64_t> kForms[] = {{"auto", Form::kAuto, 0},
                                                             {"parallel", Form::kParallel, 0},
                                                             {"chunked", Form::kChunked, 0},
                                                             {"chunked_by_7", Form::kChunked, 7},
                                                             {"recurrent", Form::kRecurrent, 0}};

template <class Options, class Attend>
void add_forms(Rows& rows, const std::string& name, const Sizes& sizes, const Options& base, const Attend& attend) {
  for (const auto& [form_name, form, chunk] : kForms) {
    Options options = base;
    options.form = form;
    options.chunk = chunk;
    rows.add(fmt::format("{}_{}", name, form_name), sizes,
             [options, attend](Operands x) { return attend(x[0], x[1], x[2], options, nullptr); })
        .positive = options.normalize;
    rows.add_stateful(fmt::format("{}_state_{}", name, form_name), sizes, 3, 2,
                      [options, attend](Engine&, Operands x) {
                        LinearState state{std::move(x[3]), std::move(x[4])};
                        const Value o = attend(x[0], x[1], x[2], options, &state);
                        return std::vector<Value>{o, state.s, state.z};
                      })
        .positive = options.normalize;
  }
}

void add_linear_attentions(Rows& rows) {
  const auto quadratic = [](const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                            LinearState* state) { return quadratic_attention(q, k, v, options, state); };
  const auto plain = [](const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                        LinearState* state) { return linear_attention(q, k, v, options, state); };
  const QuadraticKernel squares{0, 0, 1}, taylor{1, 1, 0.5}, lines{0, 1, 0}, odd{0.5, 0, 0.25};
  for (const auto& [name, kernel] :
       {std::pair("squares", squares), {"taylor", taylor}, {"lines", lines}, {"odd", odd}}) {
    const Sizes sizes =
        attention_sizes([kernel = kernel](int64_t Dk) { return kernels::quadratic_feature_count(Dk, kernel); });
    add_forms(rows, fmt::format("quadratic_{}", name), sizes,
              QuadraticOptions{.kernel = kernel, .scale = 0.4, .eps = 0.05}, quadratic);
  }
  const Sizes square_sizes = attention_sizes([&](int64_t Dk) { return kernels::quadratic_feature_count(Dk, squares); });
  add_forms(rows, "quadratic_bare_sum", square_sizes,
            QuadraticOptions{.kernel = squares, .scale = 0.4, .normalize = false}, quadratic);
  for (const auto& [name, kernel] : {std::pair("squares", squares), {"taylor", taylor}}) {
    for (const Form form : {Form::kAuto, Form::kParallel}) {
      const QuadraticOptions options{
          .kernel = kernel, .scale = 0.4, .eps = 0.05, .form = form, .queries = {2, 9, 10, 32, 0, 16, 17, 31}};
      rows.add(fmt::format("quadratic_{}_few_queries_{}", name, form == Form::kAuto ? "auto" : "parallel"),
               {{Shape({2, 4, 2, 5}), Shape({2, 33, 2, 5}), Shape({2, 33, 2, 7})},
                {Shape({1, 8, 2, 16}), Shape({1, 33, 2, 16}), Shape({1, 33, 2, 33})}},
               [options](Operands x) {
                 QuadraticOptions own = options;
                 if (x[0].size(0) == 1) own.queries = {0, 1, 15, 16, 17, 30, 31, 32};
                 return quadratic_attention(x[0], x[1], x[2], own);
               })
          .positive = true;
    }
  }
  const Sizes sizes = attention_sizes([](int64_t F) { return F; });
  add_forms(rows, "linear", sizes, LinearOptions{.scale = 0.4, .eps = 0.05}, plain);
  add_forms(rows, "linear_bare_sum", sizes, LinearOptions{.scale = 0.4, .normalize = false}, plain);
  rows.add("linear_documents", sizes,
           [](Engine& engine, Operands x) {
             const LinearOptions options{.scale = 0.4, .eps = 0.05};
             return std::vector<Value>{linear_attention(x[0], x[1], x[2], options, nullptr, eighths(engine, x[0]))};
           })
      .positive = true;
  rows.add("quadratic_squares_documents", sizes,
           [](Engine& engine, Operands x) {
             const QuadraticOptions options{.scale = 0.4, .eps = 0.05};
             return std::vector<Value>{quadratic_attention(x[0], x[1], x[2], options, nullptr, eighths(engine, x[0]))};
           })
      .positive = true;
}

// Decay of sums: the shape of its logarithm behind q, k and v, and what makes it of normal draws: -strength x^2.
struct DecayRow {
  const char* name;
  Decay decay;
  double strength;
  bool bonus, normalize;
};

Shape log_decay_shape(Decay decay, const Shape& q) {
  if (decay == Decay::kHead) return Shape({q[2]});
  return decay == Decay::kToken ? Shape({q[0], q[1], q[2]}) : q;
}

// q, k, v, log_decay, bonus and, for states, s and z, at every second size.
Sizes decayed_sizes(const DecayRow& row) {
  Sizes sizes;
  const Sizes plain = attention_sizes([](int64_t F) { return F; });
  for (size_t i = 1; i < plain.size(); i += 2) {
    std::vector<Shape> shapes = plain[i];
    const Shape q = shapes[0];
    shapes.insert(shapes.begin() + 3, {log_decay_shape(row.decay, q), Shape({q[2], q[3]})});
    if (!row.normalize) shapes.pop_back();
    sizes.push_back(shapes);
  }
  return sizes;
}

void add_decayed_attentions(Rows& rows) {
  constexpr DecayRow kDecays[] = {{"decay_head", Decay::kHead, 0.3, false, false},
                                  {"decay_head_normalized", Decay::kHead, 0.3, false, true},
                                  {"decay_token", Decay::kToken, 0.3, false, false},
                                  {"decay_token_bonus_extreme", Decay::kToken, 1000, true, false},
                                  {"decay_feature", Decay::kFeature, 0.3, false, false},
                                  {"decay_feature_normalized", Decay::kFeature, 1, false, true},
                                  {"decay_feature_bonus", Decay::kFeature, 0.3, true, false},
                                  {"decay_feature_extreme", Decay::kFeature, 1000, false, false}};
  for (const DecayRow& row : kDecays) {
    for (const auto& [form_name, form, chunk] : kForms) {
      const LinearOptions options{.scale = 0.4, .eps = 0.05, .normalize = row.normalize, .form = form, .chunk = chunk};
      const auto decay_of = [row](Operands x) {
        return LinearDecay{scale_shift(unary(UnaryOp::kSquare, x[3]), -row.strength), row.bonus ? x[4] : Value()};
      };
      rows.add(fmt::format("linear_{}_{}", row.name, form_name), decayed_sizes(row),
               [=](Operands x) { return linear_attention(x[0], x[1], x[2], decay_of(x), options); })
          .positive = row.normalize;
      rows.add_stateful(
              fmt::format("linear_{}_state_{}", row.name, form_name), decayed_sizes(row),
              row.decay == Decay::kHead ? 3 : 4, row.normalize ? 2 : 1,
              [=](Engine&, Operands x) {
                LinearState state{std::move(x[5]), row.normalize ? std::move(x[6]) : Value()};
                const Value o = linear_attention(x[0], x[1], x[2], decay_of(x), options, &state);
                return row.normalize ? std::vector<Value>{o, state.s, state.z} : std::vector<Value>{o, state.s};
              })
          .positive = row.normalize;
    }
  }
}

void add_decayed_documents(Rows& rows) {
  constexpr DecayRow kDecays[] = {{"linear_decay_head_documents", Decay::kHead, 0.3, false, false},
                                  {"linear_decay_token_documents", Decay::kToken, 0.3, false, true},
                                  {"linear_decay_feature_documents", Decay::kFeature, 0.3, false, false},
                                  {"linear_decay_feature_bonus_documents", Decay::kFeature, 0.3, true, false}};
  for (const DecayRow& row : kDecays) {
    rows.add(row.name, decayed_sizes(row),
             [row](Engine& engine, Operands x) {
               const LinearDecay decay{scale_shift(unary(UnaryOp::kSquare, x[3]), -row.strength),
                                       row.bonus ? x[4] : Value()};
               const LinearOptions options{.scale = 0.4, .eps = 0.05, .normalize = row.normalize};
               return std::vector<Value>{
                   linear_attention(x[0], x[1], x[2], decay, options, nullptr, eighths(engine, x[0]))};
             })
        .positive = row.normalize;
  }
}

void add_softmax_attentions(Rows& rows) {
  Sizes causal, grouped, cached;
  for (int64_t T : {1, 2, 17, 65}) {
    causal.push_back({Shape({2, T, 2, 5}), Shape({2, T, 2, 5}), Shape({2, T, 2, 7})});
    grouped.push_back({Shape({1, T, 6, 8}), Shape({1, T, 2, 8}), Shape({1, T, 2, 4})});
    cached.push_back({Shape({2, T, 2, 5}), Shape({2, T + 9, 2, 5}), Shape({2, T + 9, 2, 3})});
  }
  rows.add("softmax_documents", causal, [](Engine& engine, Operands x) {
    const int64_t B = x[0].size(0), T = x[0].size(1), length = std::clamp<int64_t>(T / 8, 1, 128);
    std::vector<int64_t> at, first;
    for (int64_t i = 0; i < B * T; ++i) {
      at.push_back(i % T);
      first.push_back(i % T / length * length);
    }
    const Value places = write_ids(engine, Shape({B, T}), at);
    return std::vector<Value>{
        softmax_attention(x[0], x[1], x[2], {.scale = 0.5}, {places, places, write_ids(engine, Shape({B, T}), first)})};
  });
  for (int64_t window : {0, 1, 3, 8}) {
    for (bool additive : {false, true}) {
      const AttentionOptions options{.scale = 0.5, .window = window, .additive_mask = additive};
      const std::string suffix = fmt::format("_window_{}{}", window, additive ? "_additive" : "");
      const auto attend = [options](Operands x) { return softmax_attention(x[0], x[1], x[2], options); };
      rows.add("softmax_causal" + suffix, causal, attend);
      AttentionOptions dropped = options;
      dropped.dropout = 0.3;
      dropped.dropout_key = 11;
      rows.add("softmax_dropout" + suffix, grouped,
               [dropped](Operands x) { return softmax_attention(x[0], x[1], x[2], dropped); });
      rows.add("softmax_grouped" + suffix, grouped, attend);
      rows.add("softmax_behind_keys" + suffix, cached, attend);
      // -10000 on every score would leave float32 few digits of them: an additive mask that shows something to every
      // query.
      if (additive && window > 0) continue;
      // Slots out of order, some empty; without the additive mask the first query of each row sees nothing at all.
      rows.add("softmax_positions" + suffix, cached, [options](Engine& engine, Operands x) {
        const int64_t B = x[0].size(0), T = x[0].size(1), S = x[1].size(1);
        std::vector<int64_t> query_pos, key_pos;
        for (int64_t i = 0; i < B * T; ++i)
          query_pos.push_back(i % T == 0 && !options.additive_mask ? 0 : S / 2 + i % T);
        for (int64_t i = 0; i < B * S; ++i) key_pos.push_back(i % 4 == 1 ? -1 : 1 + (i * 3) % S);
        const AttentionPositions placed{write_ids(engine, Shape({B, T}), query_pos),
                                        write_ids(engine, Shape({B, S}), key_pos)};
        return std::vector<Value>{softmax_attention(x[0], x[1], x[2], options, placed)};
      });
    }
  }
}

// Wider keys than the kernel of pairs takes.
void add_wide_keys(Rows& rows) {
  for (const auto& [name, kernel] : {std::pair("squares", QuadraticKernel{0, 0, 1}), {"taylor", {1, 1, 0.5}}}) {
    const int64_t Dk = kernels::kMaxKeyDim + 1, F = kernels::quadratic_feature_count(Dk, kernel);
    const QuadraticOptions options{.kernel = kernel, .scale = 0.1, .eps = 0.05};
    rows.add_stateful(
            fmt::format("quadratic_wide_{}", name),
            {{Shape({2, 9, 1, Dk}), Shape({2, 9, 1, Dk}), Shape({2, 9, 1, 3}), Shape({2, 1, F, 3}), Shape({2, 1, F})}},
            3, 2,
            [options](Engine&, Operands x) {
              LinearState state{std::move(x[3]), std::move(x[4])};
              const Value o = quadratic_attention(x[0], x[1], x[2], options, &state);
              return std::vector<Value>{o, state.s, state.z, quadratic_attention(x[0], x[1], x[2], options)};
            })
        .positive = true;
  }
}

}  // namespace

void add_attentions(Rows& rows) {
  add_linear_attentions(rows);
  add_decayed_attentions(rows);
  add_decayed_documents(rows);
  add_wide_keys(rows);
  add_softmax_attentions(rows);
}

}  // namespace rebased::testing
