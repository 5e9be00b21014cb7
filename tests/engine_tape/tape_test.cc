#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/error.h"
#include "base/threads.h"
#include "cores/short_conv/short_conv.h"
#include "engine/reference/reference_engine.h"
#include "engine/tape/tape_engine.h"
#include "engine/vocabulary.h"
#include "kernels/packed_linear.h"
#include "nn/sequence_model.h"
#include "updates/adamw/adamw.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Value array(Engine& engine, const Shape& shape, const std::vector<float>& data) {
  return engine.from_host(data.data(), DType::kF32, shape, engine.compute_dtype());
}

std::vector<float> numbers(const Value& x) {
  std::vector<float> data(static_cast<size_t>(x.shape().numel()));
  x.engine().to_host(x, data.data(), DType::kF32);
  return data;
}

void backward(Engine& engine, const Value& y) {
  const Value ones = engine.full(y.shape(), y.dtype(), 1);
  engine.autograd()->backward({&y, 1}, {&ones, 1});
}

// The tape is the same in float and in double.
template <class EngineType>
class Recording : public ::testing::Test {};
using Engines = ::testing::Types<TapeEngine, ReferenceEngine>;
struct EngineNames {
  template <class EngineType>
  static std::string GetName(int) {
    return std::is_same_v<EngineType, TapeEngine> ? "Tape" : "Reference";
  }
};
TYPED_TEST_SUITE(Recording, Engines, EngineNames);

TYPED_TEST(Recording, AddsUpTheGradientsOfSeveralUsesAndPasses) {
  TypeParam engine;
  const Value x = array(engine, Shape({2}), {3, -1});
  engine.track(x);
  backward(engine, add(mul(x, x), x));  // 2 x + 1
  EXPECT_THAT(numbers(engine.gradient(x)), ElementsAre(7, -1));
  backward(engine, scale_shift(x, 10));
  EXPECT_THAT(numbers(engine.gradient(x)), ElementsAre(17, 9));
  engine.clear_gradient(x);
  EXPECT_FALSE(engine.gradient(x));
}

// One gradient that goes to two operands must not be added to in place for both.
TYPED_TEST(Recording, SharedGradientsStayApart) {
  TypeParam engine;
  const Value a = array(engine, Shape({2}), {1, 2}), b = array(engine, Shape({2}), {3, 4});
  engine.track(a);
  engine.track(b);
  const Value sum = add(a, b);
  backward(engine, add(add(sum, scale_shift(a, 5)), sum));
  EXPECT_THAT(numbers(engine.gradient(a)), ElementsAre(7, 7));
  EXPECT_THAT(numbers(engine.gradient(b)), ElementsAre(2, 2));
}

TYPED_TEST(Recording, GivenWeightsAreLeftAlone) {
  TypeParam engine;
  const Value x = array(engine, Shape({2}), {1, 2}), weight = array(engine, Shape({2}), {1, 1});
  engine.track(x);
  const Value y = add(x, x);
  engine.backward({&y, 1}, {&weight, 1});
  EXPECT_THAT(numbers(weight), ElementsAre(1, 1));
  EXPECT_THAT(numbers(engine.gradient(x)), ElementsAre(2, 2));
}

TYPED_TEST(Recording, UsesUpWhatItRecorded) {
  TypeParam engine;
  const Value x = array(engine, Shape({1}), {2});
  engine.track(x);
  const Value y = mul(x, x);
  backward(engine, y);
  EXPECT_THAT([&] { backward(engine, y); }, ThrowsMessage<Error>(HasSubstr("used up")));
}

TYPED_TEST(Recording, RecordsNothingOfWhatLeadsNowhere) {
  TypeParam engine;
  const Value x = array(engine, Shape({1}), {2}), leaf = array(engine, Shape({1}), {3});
  engine.track(leaf);
  backward(engine, mul(x, x));  // nothing tracked: no effect
  const Value cut = detach(mul(leaf, leaf));
  backward(engine, mul(cut, leaf));
  EXPECT_THAT(numbers(engine.gradient(leaf)), ElementsAre(9));
  engine.clear_gradient(leaf);
  {
    const RecordingOff off(&engine);
    backward(engine, mul(leaf, leaf));
  }
  EXPECT_FALSE(engine.gradient(leaf));
}

// A state that is advanced in place where nothing else needs its memory keeps what a gradient needs.
TYPED_TEST(Recording, StatesKeepTheirPast) {
  TypeParam engine;
  const Value x = array(engine, Shape({1, 3, 1}), {1, 2, 3}), w = array(engine, Shape({1, 2}), {10, 100});
  engine.track(w);
  Value state = engine.full(Shape({1, 1, 1}), engine.compute_dtype(), 7);
  const Value first = short_conv(slice(x, 1, 0, 2), w, {}, false, &state);
  const Value second = short_conv(slice(x, 1, 2, 1), w, {}, false, &state);
  const Value all[] = {first, second};
  backward(engine, concat(all, 1));
  EXPECT_THAT(numbers(engine.gradient(w)), ElementsAre(7 + 1 + 2, 1 + 2 + 3));
}

TYPED_TEST(Recording, MemoryComesBackAfterEachPass) {
  TypeParam engine;
  const Json config = {{"vocab_size", 32},
                       {"max_tokens", 16},
                       {"d_model", 16},
                       {"n_layers", 2},
                       {"mixers", Json::array({{{"type", "rebased"}, {"num_heads", 2}}})}};
  SequenceModel model(model_config_from_json(config, "model.json"));
  model.parameters().initialise(engine, 1);
  for (Param& param : model.parameters().params()) engine.track(param.value);
  std::vector<int64_t> ids(64);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i % 32);
  const Value tokens = engine.from_host(ids.data(), DType::kI64, Shape({4, 16}), DType::kI64);
  auto pass = [&] {
    for (Param& param : model.parameters().params()) engine.clear_gradient(param.value);
    backward(engine, model.loss(tokens, ids, {.training = true}).loss);
    return engine.arena().bytes_reserved();
  };
  pass();
  const size_t reserved = pass();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pass(), reserved);
}

TYPED_TEST(Recording, SumOfSquaresIsTheSameOnEveryThreadCount) {
  TypeParam engine;
  std::vector<float> data(100'000);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i % 1000) * 0.37f;
  const Value x = array(engine, Shape({100'000}), data);
  const int before = thread_count();
  set_thread_count(1);
  const double one = engine.sum_of_squares(x);
  set_thread_count(3);
  EXPECT_EQ(engine.sum_of_squares(x), one);
  set_thread_count(before);
}

TYPED_TEST(Recording, StepsOfAdamWAreInPlace) {
  TypeParam engine;
  const Value param = array(engine, Shape({1}), {1}), grad = array(engine, Shape({1}), {0.5}),
              m = array(engine, Shape({1}), {0}), v = array(engine, Shape({1}), {0});
  engine.update(AdamWUpdate({.lr = 0.1, .weight_decay = 0.5, .grad_scale = 2}), std::array{param, grad, m, v});
  EXPECT_NEAR(numbers(param)[0], 1 - 0.1 * 0.5 - 0.1, 1e-6);  // the first step is lr along the sign
  EXPECT_NEAR(numbers(m)[0], 0.1, 1e-7);
  EXPECT_NEAR(numbers(v)[0], 0.001, 1e-9);
}

TYPED_TEST(Recording, HoldsItsOwnTypeAlone) {
  TypeParam engine;
  const DType other = engine.compute_dtype() == DType::kF32 ? DType::kF64 : DType::kF32;
  EXPECT_THAT([&] { engine.full(Shape({1}), other, 0); }, ThrowsMessage<DeviceError>(HasSubstr(engine.name())));
  EXPECT_THROW(engine.borrow_packed({}, nullptr), DeviceError);
}

// What is trained lies in memory of its own.
TYPED_TEST(Recording, BorrowsByACopy) {
  TypeParam engine;
  std::vector<float> weights = {1, 2};
  const Value x = engine.borrow(weights.data(), Shape({2}), nullptr);
  weights = {3, 4};
  EXPECT_THAT(numbers(x), ElementsAre(1, 2));
}

}  // namespace
}  // namespace rebased
