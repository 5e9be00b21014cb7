#include <cmath>

#include "cores/linear_attention/linear_attention.h"
#include "cores/norm/norm.h"
#include "cores/packed_squares/packed_squares.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "cores/short_conv/short_conv.h"
#include "cores/softmax_attention/softmax_attention.h"
#include "golden/handlers.h"

namespace rebased::testing {
namespace {

// The goldens of operators lie as [B, H, T, D]; the vocabulary has [B, T, H, D].
HostArray time_first(const Golden& golden, const std::string& name) {
  return golden.array(name).permuted({0, 2, 1, 3});
}

double scale_of(const Golden& golden) {  // written "d^-0.5", or as a number
  const Json& scale = golden.settings().at("scale");
  if (scale == "d^-0.5") return std::pow(golden.setting<double>("d"), -0.5);
  return scale.is_string() ? std::stod(scale.get<std::string>()) : scale.get<double>();
}

// q, k, v with their gradients, and the output o.
struct AttentionCase {
  AttentionCase(const Golden& golden, Engine& engine, const std::string& query = "q")
      : q(leaf(engine, time_first(golden, query))),
        k(leaf(engine, time_first(golden, "k"))),
        v(leaf(engine, time_first(golden, "v"))) {
    computation.gradients = {{"d" + query, q, time_first(golden, "d" + query)},
                             {"dk", k, time_first(golden, "dk")},
                             {"dv", v, time_first(golden, "dv")}};
  }

  Computation finish(const Golden& golden, const Value& o) {
    computation.outputs.push_back({"o", o, time_first(golden, "o")});
    computation.loss.push_back({o, time_first(golden, "do")});
    return std::move(computation);
  }

  Value q, k, v;
  Computation computation;
};

void check_quadratic_op(const Golden& golden, const QuadraticKernel& kernel) {
  check_golden(golden, Ordering::kForms, [&](Engine& engine, Form form, int64_t chunk) {
    AttentionCase attention(golden, engine);
    QuadraticOptions options{.kernel = kernel,
                             .scale = scale_of(golden),
                             .eps = golden.setting<double>("eps"),
                             .normalize = golden.setting<bool>("use_normalize"),
                             .form = form,
                             .chunk = chunk};
    const Value o = quadratic_attention(attention.q, attention.k, attention.v, options);
    // The normaliser is the sum of similarities: what values of one give without normalisation.
    options.normalize = false;
    const HostArray z = golden.array("z").permuted({0, 2, 1});
    const Value ones = write(engine, HostArray::filled(Shape({z.shape[0], z.shape[1], z.shape[2], 1}), 1));
    attention.computation.outputs.push_back(
        {"z", reshape(quadratic_attention(attention.q, attention.k, ones, options), z.shape), z});
    return attention.finish(golden, o);
  });
}

Value elu_map(const Value& x) { return scale_shift(unary(UnaryOp::kElu, x), 1, 1); }

}  // namespace

void check_rebased_op(const Golden& golden) { check_quadratic_op(golden, {.a = 0, .b = 0, .c = 1}); }
void check_based_op(const Golden& golden) { check_quadratic_op(golden, {.a = 1, .b = 1, .c = 0.5}); }

void check_elu_op(const Golden& golden) {
  check_golden(golden, Ordering::kForms, [&](Engine& engine, Form form, int64_t chunk) {
    AttentionCase attention(golden, engine);
    const LinearOptions options{.eps = golden.setting<double>("eps"), .form = form, .chunk = chunk};
    return attention.finish(golden, linear_attention(elu_map(attention.q), elu_map(attention.k), attention.v, options));
  });
}

// s0 and dht may be absent: no state before, nothing asked of the one behind.
void check_carried_state_op(const Golden& golden) {
  const Shape q = golden.shape("q");
  const Shape s_shape({q[0], q[1], q[3], golden.shape("v")[3]}), z_shape({q[0], q[1], q[3]});
  auto state_leaf = [&](Engine& engine, const char* name, const Shape& shape) {
    return leaf(engine, golden.has(name) ? golden.array(name).as(shape) : HostArray::zeros(shape));
  };
  check_golden(golden, Ordering::kForms, [&](Engine& engine, Form form, int64_t chunk) {
    AttentionCase attention(golden, engine);
    LinearState state{state_leaf(engine, "s0", s_shape), state_leaf(engine, "z0", z_shape)};
    Computation& computation = attention.computation;
    if (golden.has("ds0")) computation.gradients.push_back({"ds0", state.s, golden.array("ds0")});
    if (golden.has("dz0")) computation.gradients.push_back({"dz0", state.z, golden.array("dz0").as(z_shape)});
    const LinearOptions options{.scale = scale_of(golden),
                                .eps = golden.setting<double>("eps"),
                                .normalize = golden.setting<bool>("normalize"),
                                .form = form,
                                .chunk = chunk};
    const Value o = linear_attention(attention.q, attention.k, attention.v, options, &state);
    if (golden.has("ht")) computation.outputs.push_back({"ht", state.s, golden.array("ht")});
    if (golden.has("zt")) computation.outputs.push_back({"zt", state.z, golden.array("zt").as(z_shape)});
    if (golden.has("dht")) computation.loss.push_back({state.s, golden.array("dht")});
    return attention.finish(golden, o);
  });
}

namespace {

// Sums that decay, from their decays on; h0 and dht may be absent.
using DecayOf = std::function<LinearDecay(Engine& engine, Computation& computation)>;

void check_decayed_op(const Golden& golden, const char* query, const DecayOf& decay_of) {
  const Shape q = golden.shape(query), s_shape({q[0], q[1], q[3], golden.shape("v")[3]});
  check_golden(golden, Ordering::kForms, [&](Engine& engine, Form form, int64_t chunk) {
    AttentionCase attention(golden, engine, query);
    Computation& computation = attention.computation;
    const LinearDecay decay = decay_of(engine, computation);
    LinearState state{leaf(engine, golden.has("h0") ? golden.array("h0") : HostArray::zeros(s_shape)), {}};
    if (golden.has("dh0")) computation.gradients.push_back({"dh0", state.s, golden.array("dh0")});
    const LinearOptions options{.scale = scale_of(golden), .normalize = false, .form = form, .chunk = chunk};
    const bool stateful = golden.has("h0") || golden.has("ht");
    const Value o =
        linear_attention(attention.q, attention.k, attention.v, decay, options, stateful ? &state : nullptr);
    if (golden.has("ht")) computation.outputs.push_back({"ht", state.s, golden.array("ht")});
    if (golden.has("dht")) computation.loss.push_back({state.s, golden.array("dht")});
    return attention.finish(golden, o);
  });
}

}  // namespace

// gamma_h = 1 - 2^(-5-h)
void check_retention_op(const Golden& golden) {
  check_decayed_op(golden, "q", [&](Engine& engine, Computation&) {
    HostArray log = HostArray::zeros(Shape({golden.shape("q")[1]}));
    for (size_t h = 0; h < log.data.size(); ++h) log.data[h] = std::log1p(-std::exp2(-5 - static_cast<double>(h)));
    return LinearDecay{write(engine, log), {}};
  });
}

void check_gla_op(const Golden& golden) {
  check_decayed_op(golden, "q", [&](Engine& engine, Computation& computation) {
    const Value log = leaf(engine, time_first(golden, "gk"));
    computation.gradients.push_back({"dgk", log, time_first(golden, "dgk")});
    return LinearDecay{log, {}};
  });
}

void check_simple_gla_op(const Golden& golden) {
  check_decayed_op(golden, "q", [&](Engine& engine, Computation& computation) {
    const Value log = leaf(engine, golden.array("g").permuted({0, 2, 1}));
    computation.gradients.push_back({"dg", log, golden.array("dg").permuted({0, 2, 1})});
    return LinearDecay{log, {}};
  });
}

void check_rwkv6_op(const Golden& golden) {
  check_decayed_op(golden, "r", [&](Engine& engine, Computation& computation) {
    const Value log = leaf(engine, time_first(golden, "w")), bonus = leaf(engine, golden.array("u"));
    computation.gradients.push_back({"dw", log, time_first(golden, "dw")});
    computation.gradients.push_back({"du", bonus, golden.array("du")});
    return LinearDecay{log, bonus};
  });
}

void check_softmax_op(const Golden& golden) {
  for (bool additive : {true, false}) {
    check_golden(golden, Ordering::kFixed, [&](Engine& engine, Form, int64_t) {
      AttentionCase attention(golden, engine);
      const AttentionOptions options{.scale = scale_of(golden), .additive_mask = additive};
      return attention.finish(golden, softmax_attention(attention.q, attention.k, attention.v, options));
    });
  }
}

void check_short_conv_op(const Golden& golden) {
  const HostArray w = golden.array("w");
  const Shape taps({w.shape[0], w.shape[2]});
  const bool silu = golden.setting_or<std::string>("activation", "none") != "none";
  check_golden(golden, Ordering::kFixed, [&](Engine& engine, Form, int64_t) {
    const Value x = leaf(engine, golden.array("x")), weight = leaf(engine, w.as(taps)),
                bias = golden.has("b") ? leaf(engine, golden.array("b")) : Value();
    const Value o = short_conv(x, weight, bias, silu);
    Computation computation{.outputs = {{"o", o, golden.array("o")}},
                            .gradients = {{"dx", x, golden.array("dx")}, {"dw", weight, golden.array("dw").as(taps)}},
                            .loss = {{o, golden.array("do")}}};
    if (bias) computation.gradients.push_back({"db", bias, golden.array("db")});
    return computation;
  });
}

void check_rebased_feature_map(const Golden& golden) {
  const auto width = golden.setting<double>("head_dim");
  check_golden(golden, Ordering::kFixed, [&](Engine& engine, Form, int64_t) {
    Computation computation;
    auto optional_leaf = [&](const std::string& name) {
      if (!golden.has("param." + name)) return Value();
      Value value = leaf(engine, golden.array("param." + name));
      computation.gradients.push_back({"grad." + name, value, golden.array("grad." + name)});
      return value;
    };
    const Value x = leaf(engine, golden.array("x")), gamma = optional_leaf("gamma"), beta = optional_leaf("beta");
    Value y = golden.setting<bool>("normalize") ? layer_norm(x, gamma, beta, 1e-5) : gamma ? mul(x, gamma) : x;
    if (!golden.setting<bool>("normalize") && beta) y = add(y, beta);
    if (golden.setting<bool>("flatten")) y = scale_shift(packed_squares(y), 1 / std::sqrt(width));
    computation.outputs = {{"y", y, golden.array("y")}};
    computation.gradients.push_back({"dx", x, golden.array("dx")});
    computation.loss = {{y, golden.array("dy")}};
    return computation;
  });
}

}  // namespace rebased::testing
