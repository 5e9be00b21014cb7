// The promises about outputs.

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "contract/contract_tools.h"
#include "cores/linear_attention/linear_attention.h"

namespace rebased::testing {
Violations check_shapes(const Subject& subject) {
  Violations violations;
  const bool causal = is_causal(subject);
  for (const EngineCase& where : every_case()) {
    const auto built = build(subject, *where.engine);
    for (const Shape& shape : {Shape({1, 1, kChannels}), Shape({2, 3, kChannels}), Shape({3, 65, kChannels})}) {
      const Value y = built->run(write(*where.engine, tokens(shape[0], shape[1])));
      if (y.shape() != shape)
        violations.push_back(fmt::format("{}: {} becomes {}", where.name, shape.str(), y.shape().str()));
      if (y.dtype() != where.engine->compute_dtype()) violations.push_back(where.name + ": the dtype changes");
      for (double value : read(y).data) {
        if (std::isfinite(value)) continue;
        violations.push_back(fmt::format("{}: {} of {}", where.name, value, shape.str()));
        break;
      }
    }
    expect_refusal<ShapeError>(violations, "x of two dimensions", [&] {
      built->run(tokens(1, 4).as(Shape({4, kChannels})));
    });
    expect_refusal<ShapeError>(violations, "x of no tokens", [&] { built->run(tokens(2, 0)); });
    if (!causal) continue;
    expect_refusal<ShapeError>(violations, "a state of other rows", [&] {
      MixerState state = built->state(3);
      built->run(tokens(2, 4), &state);
    });
  }
  return violations;
}

Violations check_limits(const Subject& subject) {
  Violations violations;
  const EngineCase where = cpu_case();
  const auto built = build(subject, *where.engine);
  const int64_t limit = built->mixer->traits().max_tokens;
  if (limit == 0) return violations;
  expect_refusal<ShapeError>(violations, "a sequence beyond max_tokens", [&] { built->run(tokens(1, limit + 1)); });
  const Layout packed = Layout::packed(std::vector<std::vector<int64_t>>{{0, 2}}, limit + 1);
  try {
    built->run(tokens(1, limit + 1), nullptr, {.layout = &packed});
  } catch (const ShapeError& error) {
    violations.push_back(fmt::format("documents below max_tokens in a longer row are refused: {}", error.what()));
  }
  return violations;
}

Violations check_outputs(const Subject& subject) {
  Violations violations;
  const HostArray x = tokens(2, kOutputTokens);
  const Context some{.outputs = some_outputs()};
  const bool causal = is_causal(subject);
  for (const EngineCase& where : every_case()) {
    const auto built = build(subject, *where.engine);
    const HostArray expected = at_outputs(built->run(x));
    const double bound = where.bound(subject, expected);
    note(violations, difference(where.name + ", some outputs", built->run(x, nullptr, some), expected, bound));
    if (causal) {
      MixerState all_state = built->state(2), state = built->state(2);
      const HostArray carried = at_outputs(built->run(x, &all_state));
      note(violations,
           difference(where.name + ", some outputs with a state", built->run(x, &state, some), carried, bound));
      compare_states(violations, where.name + ", some outputs", state, all_state, subject, where);
    }
    auto refused = [&](const char* what, std::vector<int64_t> outputs) {
      Context ctx;
      ctx.outputs = std::move(outputs);
      expect_refusal<ShapeError>(violations, what, [&] { built->run(x, nullptr, ctx); });
    };
    refused("outputs that differ in number", {1, 2, 3});
    refused("outputs that do not ascend", {1, 2, 4, 4});
    refused("outputs beyond the row", {1, 2, 3, kOutputTokens});
  }
  return violations;
}

Violations check_causality(const Subject& subject) {
  Violations violations;
  constexpr int64_t kTokens = 19;
  const bool causal = is_causal(subject);
  const HostArray x = tokens(2, kTokens), other = tokens(2, kTokens, 99);
  for (const EngineCase& where : every_case()) {
    const auto built = build(subject, *where.engine);
    const HostArray before = built->run(x);
    if (!causal) {
      const HostArray last = joined_time({x.sliced(1, 0, kTokens - 1), other.sliced(1, kTokens - 1, 1)});
      const double bound = 100 * where.bound(subject, before);
      if (difference("", built->run(last).sliced(1, kTokens - 2, 1), before.sliced(1, kTokens - 2, 1), bound).empty())
        violations.push_back(where.name + ": traits say that later tokens are seen, the next one is not");
      continue;
    }
    for (int64_t t = 1; t < kTokens; ++t) {
      const HostArray changed = joined_time({x.sliced(1, 0, t), other.sliced(1, t, kTokens - t)});
      // Our engines repeat bit for bit; torch's long convolution goes through an FFT, which rounds everywhere.
      const double bound = where.name.starts_with("torch") ? where.bound(subject, before) : 0;
      note(violations, difference(fmt::format("{}, tokens from {} on changed", where.name, t),
                                  built->run(changed).sliced(1, 0, t), before.sliced(1, 0, t), bound));
    }
  }
  return violations;
}

Violations check_rows(const Subject& subject) {
  Violations violations;
  const HostArray x = tokens(3, 17);
  for (const EngineCase& where : every_case()) {
    const auto built = build(subject, *where.engine);
    const HostArray all = built->run(x);
    for (int64_t b = 0; b < 3; ++b) {
      const HostArray alone = built->run(x.sliced(0, b, 1));
      note(violations, difference(fmt::format("{}, row {}", where.name, b), all.sliced(0, b, 1), alone,
                                  where.bound(subject, alone)));
    }
  }
  return violations;
}

Violations check_engines(const Subject& subject) {
  Violations violations;
  const EngineCase exact = reference_case();
  const auto theirs = build(subject, *exact.engine);
  const bool causal = theirs->mixer->traits().causal;
  for (const EngineCase& where : every_case()) {
    const auto ours = build(subject, *where.engine);
    for (int64_t T : {1, 2, 17, 65}) {
      const HostArray x = tokens(2, T, static_cast<uint64_t>(T));
      MixerState our_state = ours->state(2), their_state = theirs->state(2);
      const HostArray expected = theirs->run(x);
      const std::string what = fmt::format("{} against the reference, {} tokens", where.name, T);
      note(violations, difference(what, ours->run(x), expected, where.bound(subject, expected)));
      if (!causal) continue;
      theirs->run(x, &their_state);
      note(violations,
           difference(what + " with a state", ours->run(x, &our_state), expected, where.bound(subject, expected)));
      compare_states(violations, what, our_state, their_state, subject, where);
    }
  }
  return violations;
}

Violations check_forms(const Subject& subject) {
  Violations violations;
  if (!subject.forms) return violations;
  const bool causal = is_causal(subject);
  const HostArray x = tokens(2, 70);
  const EngineCase exact = reference_case();
  const HostArray expected = build(subject, *exact.engine)->run(x);
  for (const EngineCase& where : every_case()) {
    const auto built = build(subject, *where.engine);
    auto compare = [&](const std::string& name, Form form, int64_t chunk) {
      Context ctx;
      ctx.form = form;
      ctx.chunk = chunk;
      const double bound = where.bound(subject, expected);
      note(violations, difference(where.name + ", " + name, built->run(x, nullptr, ctx), expected, bound));
      if (!causal) return;
      MixerState state = built->state(2);
      const HostArray first = built->run(x.sliced(1, 0, 33), &state, ctx),
                      second = built->run(x.sliced(1, 33, 37), &state, ctx);
      note(violations, difference(where.name + ", split " + name, joined_time({first, second}), expected, bound));
    };
    compare("parallel", Form::kParallel, 0);
    compare("recurrent", Form::kRecurrent, 0);
    for (int64_t chunk : {0, 1, 7, 64}) compare(fmt::format("chunked by {}", chunk), Form::kChunked, chunk);
  }
  return violations;
}

Violations check_threads(const Subject& subject) {
  Violations violations;
  const HostArray x = tokens(2, 65);
  const int before = thread_count();
  for (const EngineCase& where : every_case()) {
    const auto built = build(subject, *where.engine);
    set_thread_count(1);
    const HostArray one = built->run(x);
    set_thread_count(3);
    const HostArray three = built->run(x);
    note(violations, difference(where.name + ", three threads instead of one", three, one, where.bound(subject, one)));
    note(violations, difference(where.name + ", the same call again", built->run(x), three, 0));
    set_thread_count(before);
  }
  return violations;
}

}  // namespace rebased::testing
