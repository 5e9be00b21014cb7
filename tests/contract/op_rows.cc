#include "contract/op_row_list.h"
#include "cores/dropout/dropout.h"
#include "cores/long_conv/long_conv.h"
#include "cores/norm/norm.h"
#include "cores/packed_squares/packed_squares.h"
#include "cores/rope/rope.h"
#include "cores/short_conv/short_conv.h"
#include "cores/softmax/softmax.h"
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
  rows.add("short_conv_documents", plain, [](Engine& engine, Operands x) {
    return std::vector<Value>{short_conv(x[0], x[1], x[2], false, nullptr, eighths(engine, x[0]))};
  });
  rows.add(
      "long_conv",
      {{Shape({2, 1, 3}), Shape({3, 1})}, {Shape({1, 17, 5}), Shape({5, 20})}, {Shape({2, 65, 2}), Shape({2, 65})}},
      [](Operands x) { return long_conv(x[0], x[1]); });
}

std::vector<Shape> attention_operands(int64_t B, int64_t T, int64_t H, int64_t Dk, int64_t Dv) {
  return {Shape({B, T, H, Dk}), Shape({B, T, H, Dk}), Shape({B, T, H, Dv})};
}

// With the logarithms of decays and the bonus behind.
std::vector<Shape> decayed_operands(const std::vector<Shape>& decay) {
  std::vector<Shape> shapes = attention_operands(4, 2048, 8, 64, 64);
  shapes.insert(shapes.end(), decay.begin(), decay.end());
  return shapes;
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
      {"short_conv_documents", conv},
      {"quadratic_squares_auto", rebased},
      {"quadratic_squares_documents", rebased},
      {"quadratic_taylor_auto", rebased},
      {"linear_auto", attention_operands(4, 2048, 8, 64, 64)},
      {"linear_bare_sum_auto", attention_operands(4, 2048, 8, 64, 64)},
      {"linear_decay_head_auto", decayed_operands({Shape({8}), Shape({8, 64})})},
      {"linear_decay_token_auto", decayed_operands({Shape({4, 2048, 8}), Shape({8, 64})})},
      {"linear_decay_feature_auto", decayed_operands({Shape({4, 2048, 8, 64}), Shape({8, 64})})},
      {"linear_decay_feature_bonus_auto", decayed_operands({Shape({4, 2048, 8, 64}), Shape({8, 64})})},
      {"linear_documents", attention_operands(4, 2048, 8, 64, 64)},
      {"softmax_causal_window_0", attention_operands(4, 1024, 8, 64, 64)},
      {"softmax_documents", attention_operands(4, 1024, 8, 64, 64)}};
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
  add_attentions(rows);
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
