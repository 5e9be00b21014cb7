#include "contract/op_rows.h"
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

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "engine/vocabulary.h"

namespace rebased::testing {
namespace {

using Operands = std::span<Value>;
using Sizes = std::vector<std::vector<Shape>>;

// Below, at and above the widths of vectors and tiles.
const std::vector<int64_t> kRows = {1, 3, 64, 67};
const std::vector<int64_t> kWidths = {1, 7, 16, 33};

Sizes each_width(const std::function<std::vector<Shape>(int64_t rows, int64_t width)>& shapes) {
  Sizes sizes;
  for (size_t i = 0; i < kRows.size(); ++i) {
    sizes.push_back(shapes(kRows[i], kWidths[i]));
    sizes.push_back(shapes(kRows[i], kWidths[kWidths.size() - 1 - i]));
  }
  return sizes;
}

std::vector<int64_t> cycling_ids(int64_t count, int64_t below) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back((i * 5 + 2) % below);
  return ids;
}

class Rows {
 public:
  template <class F>
  OpRow& add(std::string name, Sizes sizes, const F& f) {
    auto run = [f](Engine& engine, Operands x) -> std::vector<Value> {
      if constexpr (std::is_invocable_v<F, Engine&, Operands>) {
        return f(engine, x);
      } else {
        return {f(x)};
      }
    };
    return rows_.emplace_back(OpRow{std::move(name), std::move(sizes), run});
  }
  template <class F>
  OpRow& add_stateful(std::string name, Sizes sizes, int in_time, int states, const F& f) {
    OpRow& row = add(std::move(name), std::move(sizes), f);
    row.in_time = in_time;
    row.states = states;
    return row;
  }
  std::vector<OpRow> take() { return std::move(rows_); }

 private:
  std::vector<OpRow> rows_;
};

void add_elementwise(Rows& rows) {
  const Sizes one = each_width([](int64_t n, int64_t c) { return std::vector<Shape>{Shape({n, c})}; });
  const Sizes same = each_width([](int64_t n, int64_t c) {
    return std::vector<Shape>{Shape({2, n, c}), Shape({2, n, c})};
  });
  const Sizes row = each_width([](int64_t n, int64_t c) { return std::vector<Shape>{Shape({n, 2, c}), Shape({c})}; });
  const Sizes column = each_width([](int64_t n, int64_t c) {
    return std::vector<Shape>{Shape({n, c}), Shape({n, 1})};
  });
  const Sizes lone = {{Shape({5}), Shape({1})}, {Shape({1}), Shape({1})}, {Shape({7}), Shape({7})}};
  for (const auto& [how, sizes] : {std::pair("same", same), {"row", row}, {"column", column}, {"vector", lone}}) {
    rows.add(fmt::format("add_{}", how), sizes, [](Operands x) { return add(x[0], x[1]); });
    rows.add(fmt::format("mul_{}", how), sizes, [](Operands x) { return mul(x[0], x[1]); });
  }
  constexpr std::pair<const char*, UnaryOp> kUnaries[] = {
      {"silu", UnaryOp::kSilu}, {"gelu", UnaryOp::kGelu},     {"relu", UnaryOp::kRelu}, {"elu", UnaryOp::kElu},
      {"exp", UnaryOp::kExp},   {"square", UnaryOp::kSquare}, {"tanh", UnaryOp::kTanh}, {"sigmoid", UnaryOp::kSigmoid}};
  for (const auto& [name, op] : kUnaries) {
    rows.add(fmt::format("unary_{}", name), one, [op = op](Operands x) { return unary(op, scale_shift(x[0], 3)); });
  }
  rows.add("scale_shift", one, [](Operands x) { return scale_shift(x[0], -1.5, 0.25); });
  rows.add("swiglu", {{Shape({3, 2})}, {Shape({2, 5, 66})}, {Shape({40})}},
           [](Operands x) { return swiglu(scale_shift(x[0], 3)); });
  rows.add("softmax", one, [](Operands x) { return softmax(scale_shift(x[0], 5)); });
  rows.add("sum_last", one, [](Operands x) { return sum_last(x[0]); });
  rows.add("dropout", one, [](Operands x) { return dropout(x[0], 0.3, 11); });
  rows.add("packed_squares", one, [](Operands x) { return packed_squares(x[0]); });
  rows.add("taylor_features", one, [](Operands x) { return taylor_features(x[0], false); });
  rows.add("taylor_features_packed", one, [](Operands x) { return taylor_features(x[0], true); });
  const Sizes affine = each_width([](int64_t n, int64_t c) {
    return std::vector<Shape>{Shape({n, c + 1}), Shape({c + 1}), Shape({c + 1})};
  });
  rows.add("layer_norm", affine, [](Operands x) { return layer_norm(x[0], x[1], x[2], 1e-2); });
  rows.add("layer_norm_gain", affine, [](Operands x) { return layer_norm(x[0], x[1], {}, 1e-2); });
  rows.add("layer_norm_shift", affine, [](Operands x) { return layer_norm(x[0], {}, x[2], 1e-2); });
  rows.add("layer_norm_bare", affine, [](Operands x) { return layer_norm(x[0], {}, {}, 1e-2); });
  rows.add("rms_norm", affine, [](Operands x) { return rms_norm(x[0], x[1], 1e-2); });
  rows.add("rms_norm_bare", affine, [](Operands x) { return rms_norm(x[0], {}, 1e-2); });
}

std::vector<Value> both(const SumAndNorm& result) { return {result.sum, result.norm}; }

void add_residual_steps(Rows& rows) {
  const Sizes sizes = each_width([](int64_t n, int64_t c) {
    return std::vector<Shape>{Shape({2, n, c + 1}), Shape({2, n, c + 1}), Shape({c + 1}), Shape({c + 1})};
  });
  rows.add("add_layer_norm", sizes,
           [](Engine&, Operands x) { return both(add_layer_norm(x[0], x[1], x[2], x[3], 1e-2)); });
  rows.add("add_layer_norm_bare", sizes,
           [](Engine&, Operands x) { return both(add_layer_norm(x[0], x[1], {}, {}, 1e-2)); });
  rows.add("add_rms_norm", sizes, [](Engine&, Operands x) { return both(add_rms_norm(x[0], x[1], x[2], 1e-2)); });
  rows.add("add_rms_norm_bare", sizes, [](Engine&, Operands x) { return both(add_rms_norm(x[0], x[1], {}, 1e-2)); });
  rows.add("add_layer_norm_alone", sizes, [](Operands x) { return add_layer_norm(x[0], x[1], x[2], x[3], 1e-2).norm; });
  rows.add("add_rms_norm_sum_alone", sizes, [](Operands x) { return add_rms_norm(x[0], x[1], x[2], 1e-2).sum; });
}

void add_movement(Rows& rows) {
  const Sizes cube = {{Shape({2, 3, 5})}, {Shape({1, 7, 4})}, {Shape({3, 9, 2})}};
  const Sizes pair = {{Shape({2, 3, 5}), Shape({2, 3, 5})}, {Shape({1, 4, 3}), Shape({1, 4, 3})}};
  rows.add("reshape", cube, [](Operands x) {
    return reshape(x[0], Shape({x[0].size(0) * x[0].size(1), 1, x[0].size(2)}));
  });
  rows.add("transpose", {{Shape({3, 5})}, {Shape({1, 33})}, {Shape({17, 16})}},
           [](Operands x) { return transpose(x[0]); });
  for (int dim : {0, 1, 2, -1}) {
    rows.add(fmt::format("concat_{}", dim < 0 ? "last" : std::to_string(dim)), pair,
             [dim](Operands x) { return concat(x, dim); });
  }
  rows.add("slice_time", cube, [](Operands x) { return slice(x[0], 1, 1, 2); });
  rows.add("slice_last", cube, [](Operands x) { return slice(x[0], -1, 1, 1); });
  rows.add("split_time", cube, [](Operands x) {
    const std::vector<Value> parts = split(x[0], 1, std::array<int64_t, 2>{1, x[0].size(1) - 1});
    return concat(std::array{parts[1], scale_shift(parts[0], 2)}, 1);
  });
  rows.add("split_last", {{Shape({2, 3, 6})}, {Shape({5, 34})}}, [](Operands x) {
    const int64_t half = x[0].size(-1) / 2;
    const std::vector<Value> parts = split(x[0], -1, std::array{half, half});
    return mul(parts[0], parts[1]);
  });
  rows.add("slice_nothing", cube, [](Operands x) { return slice(x[0], 1, 3, 0); }).gradient = false;
  rows.add("select_rows", cube, [](Operands x) {
    return select_rows(x[0], std::vector<int64_t>{0, x[0].size(0) - 1, 0});
  });
  rows.add("write_time", {{Shape({2, 9, 3}), Shape({2, 4, 3})}, {Shape({1, 5, 2, 2}), Shape({1, 1, 2, 2})}},
           [](Operands x) { return write_time(std::move(x[0]), x[1], 3); });
  rows.add("split_and_merge_heads", {{Shape({2, 3, 8})}},
           [](Operands x) { return merge_heads(mul(split_heads(x[0], 4), split_heads(x[0], 4))); });
  rows.add("detach_and_copy", cube, [](Operands x) { return add(detach(x[0]), copy(x[0])); }).derivative = false;
}

void add_products(Rows& rows) {
  const Sizes products = each_width([](int64_t n, int64_t c) {
    return std::vector<Shape>{Shape({n, c}), Shape({c + 2, c}), Shape({c + 2})};
  });
  rows.add("linear", products, [](Operands x) { return linear(x[0], x[1], x[2]); });
  rows.add("linear_no_bias", products, [](Operands x) { return linear(x[0], x[1]); });
  // As many rows as training has: other kernels.
  const Sizes narrow = {{Shape({640, 24}), Shape({40, 24}), Shape({40})},
                        {Shape({5, 128, 33}), Shape({16, 33}), Shape({16})}};
  rows.add("linear_narrow", narrow, [](Operands x) { return linear(x[0], x[1], x[2]); });
  rows.add("linear_narrow_no_bias", narrow, [](Operands x) { return linear(x[0], x[1]); });
  rows.add("embedding", {{Shape({11, 5})}, {Shape({3, 33})}}, [](Engine& engine, Operands x) {
    return std::vector<Value>{embedding(write_ids(engine, Shape({2, 4}), cycling_ids(8, x[0].size(0))), x[0])};
  });
  const Sizes heads = {{Shape({2, 5, 3, 8})}, {Shape({1, 67, 1, 6})}, {Shape({2, 1, 2, 34})}};
  for (int64_t rotary : {0, 2, 4}) {
    rows.add(fmt::format("rope_{}", rotary), heads, [rotary](Engine& engine, Operands x) {
      const int64_t B = x[0].size(0), T = x[0].size(1);
      const Value positions = write_ids(engine, Shape({B, T}), cycling_ids(B * T, 5000));
      return std::vector<Value>{rope(x[0], positions, {.rotary = rotary, .base = 500})};
    });
  }
  const Sizes heads_of_loss = {
      {Shape({1, 5}), Shape({7, 5})}, {Shape({33, 16}), Shape({130, 16})}, {Shape({65, 7}), Shape({1025, 7})}};
  rows.add("cross_entropy", heads_of_loss,
           [](Operands x) { return cross_entropy(x[0], x[1], cycling_ids(x[0].size(0), x[1].size(0))).loss; });
}

void add_convolutions(Rows& rows) {
  Sizes plain, with_state;
  for (int64_t T : {1, 2, 17, 65}) {
    for (int64_t K : {1, 3, 4}) {
      const int64_t C = 5 + 4 * T % 13;
      plain.push_back({Shape({2, T, C}), Shape({C, K}), Shape({C})});
      with_state.push_back({Shape({2, T, C}), Shape({C, K}), Shape({C}), Shape({2, K - 1, C})});
    }
  }
  for (bool silu : {false, true}) {
    const char* suffix = silu ? "_silu" : "";
    rows.add(fmt::format("short_conv{}", suffix), plain,
             [silu](Operands x) { return short_conv(x[0], x[1], x[2], silu); });
    rows.add(fmt::format("short_conv_no_bias{}", suffix), plain,
             [silu](Operands x) { return short_conv(x[0], x[1], {}, silu); });
    rows.add_stateful(fmt::format("short_conv_state{}", suffix), with_state, 1, 1, [silu](Engine&, Operands x) {
      Value state = std::move(x[3]);
      const Value y = short_conv(x[0], x[1], x[2], silu, &state);
      return std::vector<Value>{y, state};
    });
  }
  rows.add(
      "long_conv",
      {{Shape({2, 1, 3}), Shape({3, 1})}, {Shape({1, 17, 5}), Shape({5, 20})}, {Shape({2, 65, 2}), Shape({2, 65})}},
      [](Operands x) { return long_conv(x[0], x[1]); });
}

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
}

void add_softmax_attentions(Rows& rows) {
  Sizes causal, grouped, cached;
  for (int64_t T : {1, 2, 17, 65}) {
    causal.push_back({Shape({2, T, 2, 5}), Shape({2, T, 2, 5}), Shape({2, T, 2, 7})});
    grouped.push_back({Shape({1, T, 6, 8}), Shape({1, T, 2, 8}), Shape({1, T, 2, 4})});
    cached.push_back({Shape({2, T, 2, 5}), Shape({2, T + 9, 2, 5}), Shape({2, T + 9, 2, 3})});
  }
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

std::vector<Shape> attention_operands(int64_t B, int64_t T, int64_t H, int64_t Dk, int64_t Dv) {
  return {Shape({B, T, H, Dk}), Shape({B, T, H, Dk}), Shape({B, T, H, Dv})};
}

// What models spend their time on, at sizes that they have.
void set_timed(std::vector<OpRow>& rows) {
  const std::vector<Shape> matrix = {Shape({4096, 1024})}, keys = {Shape({32768, 16})},
                           affine = {Shape({4096, 1024}), Shape({1024}), Shape({1024})},
                           conv = {Shape({4, 1024, 1024}), Shape({1024, 4}), Shape({1024})},
                           rebased = attention_operands(4, 2048, 8, 16, 64);
  const std::map<std::string, std::vector<Shape>> sizes = {
      {"dropout", matrix},
      {"softmax", matrix},
      {"swiglu", {Shape({4096, 2048})}},
      {"packed_squares", keys},
      {"taylor_features_packed", keys},
      {"layer_norm", affine},
      {"rms_norm", affine},
      {"add_rms_norm", {Shape({4096, 1024}), Shape({4096, 1024}), Shape({1024}), Shape({1024})}},
      {"linear_no_bias", {Shape({4096, 1024}), Shape({1024, 1024}), Shape({1024})}},
      {"linear_narrow", {Shape({6144, 64}), Shape({192, 64}), Shape({192})}},
      {"rope_4", {Shape({4, 1024, 8, 64})}},
      {"cross_entropy", {Shape({2048, 512}), Shape({16384, 512})}},
      {"short_conv", conv},
      {"short_conv_silu", conv},
      {"quadratic_squares_auto", rebased},
      {"quadratic_taylor_auto", rebased},
      {"linear_auto", attention_operands(4, 2048, 8, 64, 64)},
      {"softmax_causal_window_0", attention_operands(4, 1024, 8, 64, 64)}};
  for (const auto& [name, shapes] : sizes) {
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&name = name](const OpRow& one) { return one.name == name; });
    if (row == rows.end()) throw Error(fmt::format("no operation has the name {}", name));
    row->timed = shapes;
  }
}

std::vector<OpRow> make_rows() {
  Rows rows;
  add_elementwise(rows);
  add_residual_steps(rows);
  add_movement(rows);
  add_products(rows);
  add_convolutions(rows);
  add_linear_attentions(rows);
  add_wide_keys(rows);
  add_softmax_attentions(rows);
  std::vector<OpRow> all = rows.take();
  set_timed(all);
  return all;
}

}  // namespace

const std::vector<OpRow>& op_rows() {
  static const std::vector<OpRow> rows = make_rows();
  return rows;
}

}  // namespace rebased::testing
