#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "contract/op_check.h"
#include "contract/subject.h"
#include "cores/dropout/dropout.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/long_conv/long_conv.h"
#include "cores/norm/norm.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "cores/rope/rope.h"
#include "cores/short_conv/short_conv.h"
#include "cores/softmax_attention/softmax_attention.h"
#include "cores/swiglu/swiglu.h"
#include "engine/cpu/cpu_engine.h"

namespace rebased::testing {
namespace {

using ::testing::HasSubstr;

class OpContract : public ::testing::TestWithParam<std::tuple<OpRow, OpPromise>> {};

TEST_P(OpContract, IsKept) {
  const auto& [row, promise] = GetParam();
  for (const std::vector<Shape>& shapes : row.sizes) EXPECT_EQ(promise.broken(row, shapes), "");
}

INSTANTIATE_TEST_SUITE_P(Rows, OpContract,
                         ::testing::Combine(::testing::ValuesIn(op_rows()), ::testing::ValuesIn(op_promises())),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" + std::get<1>(test.param).name;
                         });

// Which elements fall out is a function of key and index alone, on every engine.
TEST(Dropout, DropsTheSameElementsEverywhere) {
  CpuEngine cpu;
  const HostArray x = HostArray::filled(Shape({31, 33}), 1);
  const HostArray expected = read(dropout(write(cpu, x), 0.25, 42));
  for (const EngineCase& where : every_case()) {
    EXPECT_EQ(difference(where.name, read(dropout(write(*where.engine, x), 0.25, 42)), expected, 1e-7), "");
  }
  const auto dropped = std::count(expected.data.begin(), expected.data.end(), 0.0);
  EXPECT_NEAR(static_cast<double>(dropped) / static_cast<double>(expected.data.size()), 0.25,
              0.06);  // 4 standard deviations
  EXPECT_NE(difference("dropout", read(dropout(write(cpu, x), 0.25, 43)), expected, 1e-7), "");
}

// A cpu value is overwritten in place only while nobody else holds it.
TEST(CpuEngine, AdvancesStatesThatOthersHoldIntoNewMemory) {
  CpuEngine cpu;
  const Value w = write(cpu, HostArray::normal(Shape({4, 3}), 1)),
              x = write(cpu, HostArray::normal(Shape({1, 5, 4}), 2));
  Value state = write(cpu, HostArray::normal(Shape({1, 2, 4}), 3));
  const Value held = state, reshaped = reshape(state, Shape({8}));
  const HostArray before = read(held);
  short_conv(x, w, {}, false, &state);
  EXPECT_EQ(difference("held", read(held), before, 0), "");
  EXPECT_EQ(difference("reshaped", read(reshaped), before.as(Shape({8})), 0), "");
  EXPECT_EQ(difference("advanced", read(state), read(slice(x, 1, 3, 2)), 0), "");

  Value cache = write(cpu, HostArray::zeros(Shape({1, 3, 4})));
  const Value view = reshape(cache, Shape({12}));
  const Value written = write_time(std::move(cache), slice(x, 1, 0, 1), 1);
  EXPECT_EQ(read(view).max_abs(), 0);
  EXPECT_GT(read(written).max_abs(), 0);
}

// Weights that lie in a file are never written to.
TEST(CpuEngine, NeverWritesBorrowedMemory) {
  CpuEngine cpu;
  const std::vector<float> weights(8, 1.0f);
  Value state = cpu.borrow(weights.data(), Shape({1, 2, 4}), nullptr);
  short_conv(write(cpu, HostArray::normal(Shape({1, 5, 4}), 2)), write(cpu, HostArray::normal(Shape({4, 3}), 1)), {},
             false, &state);
  EXPECT_THAT(weights, ::testing::Each(1.0f));
}

struct Refusal {
  const char* name;
  std::function<void(Engine& engine)> call;
  std::vector<const char*> said;
};

Value normal(Engine& engine, std::initializer_list<int64_t> shape) {
  return write(engine, HostArray::normal(Shape(shape), 1));
}
Value ids(Engine& engine, std::initializer_list<int64_t> shape) { return engine.full(Shape(shape), DType::kI64, 1); }

const Refusal kRefusals[] = {
    {"LinearWidth",
     [](Engine& e) {
       linear(normal(e, {2, 5}), normal(e, {3, 4}));
     },
     {"[linear] w", "[3, 4]"}},
    {"LinearBias",
     [](Engine& e) {
       linear(normal(e, {2, 5}), normal(e, {3, 5}), normal(e, {4}));
     },
     {"[linear] bias", "[4]"}},
    {"LinearIds",
     [](Engine& e) {
       linear(ids(e, {2, 5}), normal(e, {3, 5}));
     },
     {"[linear] x", "I64"}},
    {"LinearNothing",
     [](Engine& e) {
       linear({}, normal(e, {3, 5}));
     },
     {"[linear] x"}},
    {"AddShape",
     [](Engine& e) {
       add(normal(e, {2, 5}), normal(e, {2, 4}));
     },
     {"[add] b", "[2, 4]"}},
    {"MulShape",
     [](Engine& e) {
       mul(normal(e, {2, 5}), normal(e, {2}));
     },
     {"[mul] b", "[2]"}},
    {"EmbeddingFloats",
     [](Engine& e) {
       embedding(normal(e, {2}), normal(e, {3, 5}));
     },
     {"[embedding] ids"}},
    {"EmbeddingRange",
     [](Engine& e) {
       embedding(e.full(Shape({2}), DType::kI64, 3), normal(e, {3, 5}));
     },
     {"[embedding]", "3"}},
    {"EmbeddingNegative",
     [](Engine& e) {
       embedding(e.full(Shape({2}), DType::kI64, -1), normal(e, {3, 5}));
     },
     {"[embedding]", "-1"}},
    {"LayerNormGain",
     [](Engine& e) {
       layer_norm(normal(e, {2, 5}), normal(e, {4}), {}, 1e-5);
     },
     {"[layer_norm] gamma", "[4]"}},
    {"RmsNormWeight",
     [](Engine& e) {
       rms_norm(normal(e, {2, 5}), normal(e, {4}), 1e-5);
     },
     {"[rms_norm] weight", "[4]"}},
    {"AddLayerNormSummands",
     [](Engine& e) {
       add_layer_norm(normal(e, {2, 5}), normal(e, {5}), {}, {}, 1e-5);
     },
     {"[add_layer_norm] b", "[2, 5]", "[5]"}},
    {"AddLayerNormShift",
     [](Engine& e) {
       add_layer_norm(normal(e, {2, 5}), normal(e, {2, 5}), {}, normal(e, {4}), 1e-5);
     },
     {"[add_layer_norm] beta", "[4]"}},
    {"AddRmsNormWeight",
     [](Engine& e) {
       add_rms_norm(normal(e, {2, 5}), normal(e, {2, 5}), normal(e, {4}), 1e-5);
     },
     {"[add_rms_norm] weight", "[4]"}},
    {"SwigluOdd",
     [](Engine& e) {
       swiglu(normal(e, {2, 5}));
     },
     {"[swiglu] x", "even", "5"}},
    {"SplitLengths",
     [](Engine& e) {
       split(normal(e, {2, 5}), 1, std::array<int64_t, 2>{2, 2});
     },
     {"[split]", "4", "[2, 5]"}},
    {"ReshapeCount",
     [](Engine& e) {
       reshape(normal(e, {2, 5}), Shape({3, 4}));
     },
     {"[reshape]", "[3, 4]"}},
    {"TransposeRank",
     [](Engine& e) {
       transpose(normal(e, {2, 5, 1}));
     },
     {"[transpose] x"}},
    {"SliceRange",
     [](Engine& e) {
       slice(normal(e, {2, 5}), 1, 3, 3);
     },
     {"[slice]", "3..6"}},
    {"SliceDimension",
     [](Engine& e) {
       slice(normal(e, {2, 5}), 2, 0, 1);
     },
     {"[slice] dimension 2"}},
    {"ConcatShape",
     [](Engine& e) {
       concat(std::vector<Value>{normal(e, {2, 5}), normal(e, {3, 5})}, 1);
     },
     {"[concat]", "[3, 5]"}},
    {"ConcatNothing", [](Engine&) { concat({}, 0); }, {"[concat]"}},
    {"SelectRow",
     [](Engine& e) {
       select_rows(normal(e, {2, 5}), std::vector<int64_t>{2});
     },
     {"[select_rows] row 2"}},
    {"WriteTime",
     [](Engine& e) {
       write_time(normal(e, {1, 4, 2}), normal(e, {1, 2, 2}), 3);
     },
     {"[write_time]", "slot 3"}},
    {"DropoutOfAll", [](Engine& e) { dropout(normal(e, {2}), 1, 1); }, {"[dropout] p"}},
    {"RopeOdd",
     [](Engine& e) {
       rope(normal(e, {1, 2, 1, 4}), ids(e, {1, 2}), {.rotary = 3});
     },
     {"[rope] rotary", "3"}},
    {"RopePositions",
     [](Engine& e) {
       rope(normal(e, {1, 2, 1, 4}), ids(e, {1, 3}), {});
     },
     {"[rope] positions", "[1, 3]"}},
    {"ShortConvState",
     [](Engine& e) {
       Value state = normal(e, {1, 3, 4});
       short_conv(normal(e, {1, 5, 4}), normal(e, {4, 3}), {}, false, &state);
     },
     {"[short_conv] state", "[1, 3, 4]"}},
    {"ShortConvBias",
     [](Engine& e) {
       short_conv(normal(e, {1, 5, 4}), normal(e, {4, 3}), normal(e, {3}), false);
     },
     {"[short_conv] bias"}},
    {"LongConvLength",
     [](Engine& e) {
       long_conv(normal(e, {1, 5, 4}), normal(e, {4, 3}));
     },
     {"[long_conv]", "5", "3"}},
    {"QuadraticKeys",
     [](Engine& e) {
       quadratic_attention(normal(e, {1, 5, 2, 4}), normal(e, {1, 5, 2, 3}), normal(e, {1, 5, 2, 4}), {});
     },
     {"[quadratic_attention] k", "[1, 5, 2, 3]"}},
    {"QuadraticNothing",
     [](Engine& e) {
       const Value x = normal(e, {1, 5, 2, 4});
       quadratic_attention(x, x, x, {.kernel = {0, 0, 0}});
     },
     {"[quadratic_attention]", "zero"}},
    {"QuadraticState",
     [](Engine& e) {
       LinearState state{normal(e, {1, 2, 9, 4}), normal(e, {1, 2, 10})};
       const Value x = normal(e, {1, 5, 2, 4});
       quadratic_attention(x, x, x, {}, &state);
     },
     {"[quadratic_attention] state.s", "[1, 2, 10, 4]", "[1, 2, 9, 4]"}},
    {"QuadraticQueriesNumber",
     [](Engine& e) {
       const Value x = normal(e, {1, 5, 2, 4});
       quadratic_attention(normal(e, {1, 2, 2, 4}), x, x, {.queries = {1, 2, 3}});
     },
     {"[quadratic_attention] queries", "2", "3"}},
    {"QuadraticQueriesOrder",
     [](Engine& e) {
       const Value x = normal(e, {1, 5, 2, 4});
       quadratic_attention(normal(e, {1, 2, 2, 4}), x, x, {.queries = {3, 3}});
     },
     {"[quadratic_attention] queries[1]", "3", "ascend"}},
    {"QuadraticQueriesRange",
     [](Engine& e) {
       const Value x = normal(e, {1, 5, 2, 4});
       quadratic_attention(normal(e, {1, 2, 2, 4}), x, x, {.queries = {3, 5}});
     },
     {"[quadratic_attention] queries[1]", "5"}},
    {"QuadraticQueriesState",
     [](Engine& e) {
       LinearState state{normal(e, {1, 2, 10, 4}), normal(e, {1, 2, 10})};
       const Value x = normal(e, {1, 5, 2, 4});
       quadratic_attention(normal(e, {1, 1, 2, 4}), x, x, {.queries = {3}}, &state);
     },
     {"[quadratic_attention]", "state"}},
    {"QuadraticQueriesForm",
     [](Engine& e) {
       const Value x = normal(e, {1, 5, 2, 4});
       quadratic_attention(normal(e, {1, 1, 2, 4}), x, x, {.form = Form::kChunked, .queries = {3}});
     },
     {"[quadratic_attention]", "parallel"}},
    {"LinearAttentionState",
     [](Engine& e) {
       LinearState state{normal(e, {1, 2, 4, 4}), normal(e, {1, 2, 5})};
       const Value x = normal(e, {1, 5, 2, 4});
       linear_attention(x, x, x, {}, &state);
     },
     {"[linear_attention] state.z", "[1, 2, 4]", "[1, 2, 5]"}},
    {"AttentionHeads",
     [](Engine& e) {
       softmax_attention(normal(e, {1, 5, 3, 4}), normal(e, {1, 5, 2, 4}), normal(e, {1, 5, 2, 4}), {});
     },
     {"[softmax_attention]", "3 heads", "2"}},
    {"AttentionFewKeys",
     [](Engine& e) {
       softmax_attention(normal(e, {1, 5, 1, 4}), normal(e, {1, 4, 1, 4}), normal(e, {1, 4, 1, 4}), {});
     },
     {"[softmax_attention]", "positions"}},
    {"AttentionOnePosition",
     [](Engine& e) {
       const Value x = normal(e, {1, 5, 1, 4});
       softmax_attention(x, x, x, {}, {.query = ids(e, {1, 5})});
     },
     {"[softmax_attention]", "come together"}},
    {"LossLabelRange",
     [](Engine& e) {
       cross_entropy(normal(e, {2, 3}), normal(e, {4, 3}), std::vector<int64_t>{0, 4});
     },
     {"[cross_entropy] label 4"}},
    {"LossLabelCount",
     [](Engine& e) {
       cross_entropy(normal(e, {2, 3}), normal(e, {4, 3}), std::vector<int64_t>{0});
     },
     {"[cross_entropy] labels", "1"}},
    {"SplitHeads",
     [](Engine& e) {
       split_heads(normal(e, {1, 2, 5}), 2);
     },
     {"[split_heads]", "5", "2"}},
};

class ShapeErrors : public ::testing::TestWithParam<Refusal> {};

TEST_P(ShapeErrors, NameOperationAndOperandOnEveryEngine) {
  for (const EngineCase& where : every_case()) {
    try {
      GetParam().call(*where.engine);
      ADD_FAILURE() << where.name << " takes it";
    } catch (const ShapeError& error) {
      for (const char* part : GetParam().said) EXPECT_THAT(error.what(), HasSubstr(part)) << where.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Calls, ShapeErrors, ::testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

TEST(Vocabulary, RefusesOperandsOfTwoEngines) {
  CpuEngine one, other;
  EXPECT_THROW(add(normal(one, {2, 3}), normal(other, {2, 3})), ShapeError);
}

TEST(CpuEngine, SaysWhatItCannotDo) {
  CpuEngine cpu;
  const Value wide = normal(cpu, {1, 2, 1, kernels::kMaxKeyDim + 1});
  EXPECT_THROW(quadratic_attention(wide, wide, wide, {.queries = {0, 1}}), ShapeError);
  EXPECT_THROW(cpu.full(Shape({2}), DType::kF64, 1), DeviceError);
}

}  // namespace
}  // namespace rebased::testing
