// The promises about gradients.

#include <fmt/format.h>

#include <algorithm>

#include "contract/contract_tools.h"
#include "cores/linear_attention/linear_attention.h"
#include "nn/positions.h"

namespace rebased::testing {
namespace {

MakeLoss plain_loss(const Context& ctx) {
  return [ctx](Built& built, const Value& x) {
    const Value y = built.run(x, nullptr, ctx);
    return std::vector<Weighted>{{y, loss_weights(y.shape())}};
  };
}

}  // namespace

Violations check_kernels(const Subject& subject) {
  Violations violations;
  const EngineCase exact = reference_case();
  const std::vector<EngineCase> trained = trained_cases();
  const auto expected_by = build(subject, *exact.engine, Leaves::kTrainable);
  auto compare = [&](const std::string& what, int64_t T, const Context& ctx) {
    const HostArray x = tokens(2, T, static_cast<uint64_t>(T));
    const Graded expected = graded(*expected_by, x, plain_loss(ctx));
    for (const EngineCase& where : trained) {
      const auto built = build(subject, *where.engine, Leaves::kTrainable);
      compare_graded(violations, fmt::format("{} against the reference, {}, {} tokens", where.name, what, T),
                     graded(*built, x, plain_loss(ctx)), expected, subject, where);
    }
  };
  for (int64_t T : {1, 17, 65}) compare("auto", T, {});
  compare("training", 17, {.training = true, .dropout_key = 7});
  if (!subject.forms) return violations;
  compare("parallel", 33, {.form = Form::kParallel});
  compare("chunked by 7", 33, {.form = Form::kChunked, .chunk = 7});
  compare("recurrent", 33, {.form = Form::kRecurrent});
  return violations;
}

Violations check_output_gradients(const Subject& subject) {
  Violations violations;
  const HostArray x = tokens(2, kOutputTokens);
  const MakeLoss of_all = [](Built& built, const Value& all) {
    const Value y = tokens_of(built.run(all), some_outputs());
    return std::vector<Weighted>{{y, loss_weights(y.shape())}};
  };
  const EngineCase exact = reference_case();
  const auto expected_by = build(subject, *exact.engine, Leaves::kTrainable);
  const Graded expected = graded(*expected_by, x, of_all);
  for (const EngineCase& where : every_case()) {
    if (where.engine->autograd() == nullptr) continue;
    const auto built = build(subject, *where.engine, Leaves::kTrainable);
    compare_graded(violations, where.name + ", some outputs",
                   graded(*built, x, plain_loss({.outputs = some_outputs()})), expected, subject, where);
  }
  return violations;
}

Violations check_every_gradient(const Subject& subject) {
  Violations violations;
  const EngineCase exact = reference_case();
  const auto built = build(subject, *exact.engine, Leaves::kTrainable);
  const Graded found = graded(*built, tokens(2, 17), plain_loss({}));
  for (size_t i = 0; i < found.grads.size(); ++i) {
    if (!found.grads[i] || found.grads[i]->max_abs() == 0) violations.push_back(found.names[i] + " gets no gradient");
  }
  return violations;
}

namespace {

constexpr double kStep = 1e-5;  // of the central difference: its error is about kStep^2
constexpr size_t kSamples = 6;  // elements of each array

double loss_of(Built& built, const HostArray& x, const HostArray& weights) {
  const HostArray y = built.run(x);
  double sum = 0;
  for (size_t i = 0; i < y.data.size(); ++i) sum += weights.data[i] * y.data[i];
  return sum;
}

// Derivative of `loss` by element i of `values`, where set(values) makes them take effect.
template <class Set, class Loss>
double slope(HostArray values, size_t i, const Set& set, const Loss& loss) {
  const double middle = values.data[i];
  values.data[i] = middle + kStep;
  set(values);
  const double above = loss();
  values.data[i] = middle - kStep;
  set(values);
  const double below = loss();
  values.data[i] = middle;
  set(values);
  return (above - below) / (2 * kStep);
}

}  // namespace

Violations check_derivatives(const Subject& subject) {
  Violations violations;
  const EngineCase exact = reference_case();
  const auto built = build(subject, *exact.engine, Leaves::kTrainable);
  HostArray x = tokens(1, 5);
  const Graded found = graded(*built, x, plain_loss({}));
  const HostArray weights = loss_weights(x.shape);
  std::vector<Param*> params = {nullptr};  // x comes first
  for (Param& param : built->store.params()) {
    if (param.spec.trainable) params.push_back(&param);
  }
  for (size_t which = 0; which < params.size(); ++which) {
    if (!found.grads[which]) continue;  // check_every_gradient's
    const HostArray& gradient = *found.grads[which];
    const HostArray start = which == 0 ? x : read(params[which]->value);
    auto set = [&](const HostArray& values) {
      if (which == 0) {
        x = values;
      } else {
        params[which]->value = write(*exact.engine, values);
      }
    };
    Rng rng(derive_key(4, found.names[which]));
    for (size_t sample = 0; sample < kSamples; ++sample) {
      const size_t i = rng.below(start.data.size());
      const double by_difference = slope(start, i, set, [&] { return loss_of(*built, x, weights); });
      if (std::abs(by_difference - gradient.data[i]) <= 1e-6 * std::max(1.0, gradient.max_abs())) continue;
      violations.push_back(fmt::format("gradient of {}[{}] is {:.9g}, finite differences say {:.9g}",
                                       found.names[which], i, gradient.data[i], by_difference));
    }
  }
  return violations;
}

namespace {

constexpr int64_t kFirst = 6, kSecond = 11;

// Loss on the second part alone (and, with `on_state`, on the final state): all of the first part's gradient comes
// through the state between them.
MakeLoss carried_loss(bool detached, bool on_state) {
  return [=](Built& built, const Value& x) {
    MixerState state = built.state(x.size(0));
    built.run(slice(x, 1, 0, kFirst), &state);
    if (detached) state.detach();
    const Value y = built.run(slice(x, 1, kFirst, kSecond), &state);
    std::vector<Weighted> loss{{y, loss_weights(y.shape())}};
    if (!on_state) return loss;
    for (const MixerState::Array& array : state.arrays()) {
      if (array.value.dtype() != DType::kI64) loss.push_back({array.value, loss_weights(array.value.shape())});
    }
    return loss;
  };
}

}  // namespace

Violations check_carried_gradients(const Subject& subject) {
  Violations violations;
  if (!is_causal(subject)) return violations;
  const HostArray x = tokens(2, kFirst + kSecond);
  const EngineCase exact = reference_case();
  const auto theirs = build(subject, *exact.engine, Leaves::kTrainable);
  const MakeLoss whole = [](Built& built, const Value& all) {
    const Value y = slice(built.run(all), 1, kFirst, kSecond);
    return std::vector<Weighted>{{y, loss_weights(y.shape())}};
  };
  const Graded expected = graded(*theirs, x, whole);
  compare_graded(violations, exact.name + " through the state", graded(*theirs, x, carried_loss(false, false)),
                 expected, subject, exact);
  const Graded to_state = graded(*theirs, x, carried_loss(false, true));
  for (const EngineCase& where : trained_cases()) {
    const auto ours = build(subject, *where.engine, Leaves::kTrainable);
    compare_graded(violations, where.name + " through the state", graded(*ours, x, carried_loss(false, false)),
                   expected, subject, where);
    compare_graded(violations, where.name + " to the final state", graded(*ours, x, carried_loss(false, true)),
                   to_state, subject, where);
    const Graded cut = graded(*ours, x, carried_loss(true, false));
    if (cut.grads[0] && cut.grads[0]->sliced(1, 0, kFirst).max_abs() != 0) {
      violations.push_back(where.name + ": gradient flows through a detached state");
    }
  }
  return violations;
}

const std::vector<Promise>& promises() {
  static const std::vector<Promise> all = {
      {"Shapes", check_shapes},
      {"Limits", check_limits},
      {"Documents", check_documents},
      {"Padding", check_padding},
      {"DocumentGradients", check_document_gradients},
      {"Prefixes", check_prefixes},
      {"PackedWeights", check_packed_weights},
      {"Outputs", check_outputs},
      {"Causality", check_causality},
      {"Rows", check_rows},
      {"Splits", check_splits},
      {"StateCopies", check_state_copies},
      {"StateBytes", check_state_bytes},
      {"StateFiles", check_state_files},
      {"Engines", check_engines},
      {"Kernels", check_kernels},
      {"Forms", check_forms},
      {"Derivatives", check_derivatives},
      {"OutputGradients", check_output_gradients},
      {"EveryGradient", check_every_gradient},
      {"CarriedGradients", check_carried_gradients},
      {"Threads", check_threads},
  };
  return all;
}

}  // namespace rebased::testing
