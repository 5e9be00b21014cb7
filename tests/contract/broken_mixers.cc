#include "contract/broken_mixers.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/rope/rope.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "engine/cpu/cpu_engine.h"
#include "nn/layers.h"
#include "nn/positions.h"

namespace rebased::testing {
namespace {

enum class Fault : uint8_t {
  kNone,
  kSeesNextToken,
  kForgetsToAdvance,
  kForgetsNormaliser,
  kMixesRows,
  kUnderstatesBytes,
  kGrowsInSecret,
  kUnusedParameter,
  kCountsPositionsTwice,
  kStartsUnlikeReset,
  kRemembersOutsideState,
  kCutsGradient,
  kCutsStateGradient,
  kLeaksDetachedGradient,
  kEngineDependent,
  kPrecisionDependent,
  kFormDependent,
  kThreadDependent,
  kIgnoresDocuments,
  kIgnoresPadding,
  kCutsDocumentGradient,
  kIgnoresPrefix,
  kLimitsRows,
  kPackedDependent,
  kDropsToken,
  kPutsOutFirstTokens,
  kHalvesOutputGradient,
};

// y = Wo attend(Wq x, Wk x, Wv x) over 2 heads of 4, features elu + 1, rotary positions on the queries' and keys'
// projections.
class FaultyMixer : public SequenceMixer {
 public:
  FaultyMixer(Fault fault, const Scope& scope)
      : SequenceMixer(scope.prefix()),
        fault_(fault),
        q_(scope.child("q"), kChannels, kHeads * kWidth, false),
        k_(scope.child("k"), kChannels, kHeads * kWidth, false),
        v_(scope.child("v"), kChannels, kHeads * kWidth, true),
        o_(scope.child("o"), kHeads * kWidth, kChannels, true) {
    if (fault == Fault::kUnusedParameter) scope.param("idle", Shape({3}), init::constant(1));
  }

  MixerTraits traits() const override {
    return {.prefix = fault_ == Fault::kIgnoresPrefix ? MixerTraits::Prefix::kHonoured : MixerTraits::Prefix::kRefused,
            .max_tokens = fault_ == Fault::kLimitsRows ? kLimit : 0};
  }

  std::vector<StateArray> state_arrays(int64_t tokens) const override {
    std::vector<StateArray> arrays = {{"s", Shape({kHeads, kWidth, kWidth})}};
    if (fault_ != Fault::kUnderstatesBytes || tokens == 0) arrays.push_back({"z", Shape({kHeads, kWidth})});
    if (fault_ == Fault::kGrowsInSecret) arrays.push_back({"log", Shape({0})});
    return arrays;
  }

 protected:
  bool resets(const Layout& layout) const override {
    switch (fault_) {
      case Fault::kIgnoresPadding: {
        const std::vector<int64_t> positions = layout.positions();
        return std::count(positions.begin(), positions.end(), -1) > 0;
      }
      case Fault::kIgnoresDocuments:
      case Fault::kCutsDocumentGradient:
      case Fault::kIgnoresPrefix:
      case Fault::kLimitsRows:
        return true;
      default:
        return false;
    }
  }

  MixerOutput run(const Value& x_in, const Context& ctx, MixerState* state) override {
    if (fault_ == Fault::kLimitsRows && x_in.size(1) > kLimit) throw ShapeError("a row is too long");
    const Value x = fault_ == Fault::kSeesNextToken ? with_next_token(x_in) : x_in;
    const Value positions = token_positions(x, ctx, state);
    const Value q = features(q_(x), positions), k = features(k_(x), positions), v = split_heads(v_(x), kHeads);
    Value y = o_(merge_heads(attend(q, k, v, ctx, state)));
    if (state != nullptr && fault_ == Fault::kCountsPositionsTwice) {
      for (int64_t& position : state->positions) position += x.size(1);
    }
    if (state != nullptr && fault_ == Fault::kGrowsInSecret) {
      const Value parts[] = {(*state)["log"], x.engine().full(Shape({x.size(0), x.size(1)}), x.dtype(), 0)};
      (*state)["log"] = concat(parts, 1);
    }
    if (fault_ == Fault::kCutsDocumentGradient && ctx.layout != nullptr)
      y = add(scale_shift(y, 0.5), scale_shift(detach(y), 0.5));
    return {faulty_output(y, x), {}};
  }

  MixerOutput run_outputs(const Value& x, const Context& ctx, MixerState* state) override {
    if (fault_ == Fault::kPutsOutFirstTokens) {
      const int64_t N = static_cast<int64_t>(ctx.outputs.size()) / x.size(0);
      return {slice(run(x, ctx, state).y, 1, 0, N), {}};
    }
    const Value y = SequenceMixer::run_outputs(x, ctx, state).y;
    if (fault_ != Fault::kHalvesOutputGradient) return {y, {}};
    const Value half = scale_shift(y, 0.5);
    return {add(half, detach(half)), {}};
  }

 private:
  static constexpr int64_t kHeads = 2, kWidth = 4, kLimit = 150;

  static Value features(const Value& x, const Value& positions) {
    return scale_shift(unary(UnaryOp::kElu, rope(split_heads(x, kHeads), positions, {})), 1, 1);
  }

  static Value with_next_token(const Value& x) {
    const int64_t T = x.size(1);
    if (T == 1) return x;
    const Value parts[] = {slice(x, 1, 1, T - 1), slice(x, 1, T - 1, 1)};
    return add(x, scale_shift(concat(parts, 1), 0.1));
  }

  Value attend(const Value& q, const Value& k, const Value& v, const Context& ctx, MixerState* state) const {
    const double eps = fault_ == Fault::kFormDependent && ctx.form == Form::kRecurrent ? 0.1 : 1e-3;
    const LinearOptions options{.eps = eps, .form = ctx.form, .chunk = ctx.chunk};
    const Value documents = fault_ == Fault::kCutsDocumentGradient ? document_positions(q, ctx, state) : Value();
    if (state == nullptr) return linear_attention(q, k, v, options, nullptr, documents);
    LinearState sums{(*state)["s"], (*state)["z"]};
    if (fault_ == Fault::kForgetsNormaliser) sums.z = scale_shift(sums.z, 0);
    if (fault_ == Fault::kStartsUnlikeReset && state->positions[0] == 0) sums.z = scale_shift(sums.z, 1, 0.5);
    if (fault_ == Fault::kCutsStateGradient) sums = {detach(sums.s), detach(sums.z)};
    Value o = linear_attention(q, k, v, options, &sums, documents);
    if (fault_ == Fault::kForgetsToAdvance) return o;
    (*state)["s"] = sums.s;
    (*state)["z"] = sums.z;
    return o;
  }

  Value faulty_output(const Value& y, const Value& x) {
    switch (fault_) {
      case Fault::kMixesRows:
        return add(y, scale_shift(reversed_rows(x), 0.01));
      case Fault::kCutsGradient:
        return mul(y, detach(y));
      case Fault::kEngineDependent:
        return scale_shift(y, x.engine().name() == "cpu" ? 1.001 : 1);
      case Fault::kPrecisionDependent:
        return scale_shift(y, x.dtype() == DType::kF32 ? 1.001 : 1);
      case Fault::kPackedDependent: {
        const Value matrix = x.engine().matrix(x.engine().full(Shape({16, 32}), x.dtype(), 0));
        const bool packed = x.engine().name() == "cpu" && CpuEngine::bytes_held(matrix) < 16 * 32 * 4;
        return scale_shift(y, packed ? 2 : 1);
      }
      case Fault::kThreadDependent:
        return scale_shift(y, 1 + 0.01 * thread_count());
      case Fault::kLeaksDetachedGradient: {
        if (x.size(1) == 6) remembered_ = x;
        return remembered_ && x.size(1) == 11 ? add(y, slice_like(remembered_, x)) : y;
      }
      case Fault::kRemembersOutsideState: {
        const Value before = std::exchange(remembered_, slice(x, 1, x.size(1) - 1, 1));
        return before && before.shape() == x.shape() ? add(y, scale_shift(before, 0.1)) : y;
      }
      case Fault::kDropsToken:
        return slice(y, 1, 0, std::max<int64_t>(x.size(1) - 1, 1));
      default:
        return y;
    }
  }

  static Value reversed_rows(const Value& x) {
    std::vector<int64_t> rows;
    for (int64_t b = x.size(0); b > 0; --b) rows.push_back(b - 1);
    return select_rows(x, rows);
  }

  static Value slice_like(const Value& from, const Value& x) {
    const Value parts[] = {from, slice(from, 1, 0, x.size(1) - from.size(1))};
    return scale_shift(concat(parts, 1), 0.1);
  }

  Fault fault_;
  Linear q_, k_, v_, o_;
  Value remembered_;
};

Subject subject_with(Fault fault, const char* name) {
  return {
      .name = name,
      .build = [fault](const Scope& scope, const MixerSetup&) { return std::make_unique<FaultyMixer>(fault, scope); },
      .tolerance = 2e-5,
      .forms = true};
}

}  // namespace

Subject sound_mixer() { return subject_with(Fault::kNone, "sound"); }

const std::vector<BrokenMixer>& broken_mixers() {
  static const std::vector<BrokenMixer> all = [] {
    std::vector<BrokenMixer> list;
    auto add = [&](Fault fault, const char* name, const char* promise) {
      list.push_back({name, promise, subject_with(fault, name)});
    };
    add(Fault::kSeesNextToken, "SeesNextToken", "Causality");
    add(Fault::kForgetsToAdvance, "ForgetsToAdvance", "Splits");
    add(Fault::kForgetsNormaliser, "ForgetsNormaliser", "Splits");
    add(Fault::kMixesRows, "MixesRows", "Rows");
    add(Fault::kUnderstatesBytes, "UnderstatesBytes", "StateBytes");
    add(Fault::kGrowsInSecret, "GrowsInSecret", "StateBytes");
    add(Fault::kUnusedParameter, "UnusedParameter", "EveryGradient");
    add(Fault::kCountsPositionsTwice, "CountsPositionsTwice", "Splits");
    add(Fault::kStartsUnlikeReset, "StartsUnlikeReset", "StateCopies");
    add(Fault::kRemembersOutsideState, "RemembersOutsideState", "StateFiles");
    add(Fault::kCutsGradient, "CutsGradient", "Derivatives");
    add(Fault::kCutsStateGradient, "CutsStateGradient", "CarriedGradients");
    add(Fault::kLeaksDetachedGradient, "LeaksDetachedGradient", "CarriedGradients");
    add(Fault::kEngineDependent, "EngineDependent", "Engines");
    add(Fault::kPrecisionDependent, "PrecisionDependent", "Kernels");
    add(Fault::kFormDependent, "FormDependent", "Forms");
    add(Fault::kThreadDependent, "ThreadDependent", "Threads");
    add(Fault::kLimitsRows, "LimitsRows", "Limits");
    add(Fault::kIgnoresDocuments, "IgnoresDocuments", "Documents");
    add(Fault::kIgnoresPadding, "IgnoresPadding", "Padding");
    add(Fault::kCutsDocumentGradient, "CutsDocumentGradient", "DocumentGradients");
    add(Fault::kIgnoresPrefix, "IgnoresPrefix", "Prefixes");
    add(Fault::kPackedDependent, "PackedDependent", "PackedWeights");
    add(Fault::kDropsToken, "DropsToken", "Shapes");
    add(Fault::kPutsOutFirstTokens, "PutsOutFirstTokens", "Outputs");
    add(Fault::kHalvesOutputGradient, "HalvesOutputGradient", "OutputGradients");
    return list;
  }();
  return all;
}

}  // namespace rebased::testing
