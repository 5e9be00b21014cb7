#include <gtest/gtest.h>

#include <cmath>

#include "engine/tape/tape_engine.h"
#include "golden/handlers.h"
#include "golden/public_names.h"
#include "kernels/adamw.h"
#include "nn/language_model.h"

namespace rebased::testing {
namespace {

// The config that the public get_mixers builds: hybrids have BaseConv in front, the others the same mixer in every
// layer.
ModelConfig config_of(const Golden& golden) {
  const auto kind = golden.setting<std::string>("kind");
  const std::string hybrid_of = kind == "conv_attention" ? "attention" : kind;
  Json mixer{{"type", hybrid_of}, {"num_heads", golden.settings().at("num_heads")}};
  if (kind == "rebased") {
    for (const char* name : {"use_gamma", "use_beta", "normalize"}) mixer[name] = golden.settings().at(name);
  }
  Json config{{"vocab_size", golden.settings().at("vocab_size")},
              {"d_model", golden.settings().at("d_model")},
              {"n_layers", golden.settings().at("n_layers")},
              {"max_tokens", golden.settings().at("max_position_embeddings")},
              {"norm_eps", golden.settings().at("layer_norm_epsilon")},
              {"pre_norm", golden.settings().at("pre_norm")},
              {"embed_dropout", golden.settings().at("embed_dropout")},
              {"resid_dropout", golden.settings().at("resid_dropout")}};
  config["mixers"] = kind == "attention" ? Json::array({mixer}) : Json::array({Json{{"type", "base_conv"}}, mixer});
  return model_config_from_json(config, golden.path());
}

class HiddenStates : public Observer {
 public:
  void observe(std::string_view name, const Value& value) override {
    if (name.ends_with(".hidden")) values.emplace_back(name, value);
  }
  std::vector<std::pair<std::string, Value>> values;
};

// "layers.0.hidden" here is "layer0.hidden" in the golden.
std::string public_hidden_name(const std::string& name) { return "layer" + name.substr(std::string("layers.").size()); }

}  // namespace

void check_language_model(const Golden& golden) {
  const Shape shape = golden.array("tokens").shape;
  const std::vector<int64_t> tokens = golden.ids("tokens"), labels = golden.ids("labels");
  check_golden(golden, Ordering::kFixed, [&](Engine& engine, Form, int64_t) {
    LanguageModel model(config_of(golden));
    Computation computation;
    for (const auto& [name, param] : load_public(golden, "param.", model.parameters(), engine)) {
      computation.gradients.push_back(
          {"grad." + name, param->value, golden.array("grad." + name).as(param->spec.shape)});
    }
    HiddenStates hidden;
    Context ctx;
    ctx.observer = &hidden;
    const Value ids = write_ids(engine, shape, tokens);
    const Value loss = model.loss(ids, labels, ctx).loss;
    for (const auto& [name, value] : hidden.values) {
      computation.outputs.push_back({public_hidden_name(name), value, golden.array(public_hidden_name(name))});
    }
    computation.outputs.push_back({"loss", loss, golden.array("loss").as(Shape{})});
    computation.outputs.push_back({"logits", model.logits(model.hidden(ids, {}, nullptr)), golden.array("logits")});
    computation.loss.push_back({loss, HostArray::filled(Shape{}, 1)});
    return computation;
  });
}

namespace {

// AdamW on host copies of the parameters: the float32 kernel or its double reference.
template <class Real>
class Trainer {
 public:
  Trainer(const Golden& golden, Engine& engine) : golden_(golden), engine_(engine), model_(config_of(golden)) {
    params_ = load_public(golden, "init.", model_.parameters(), engine);
    for (auto& [name, param] : params_) {
      m_[name] = v_[name] = std::vector<Real>(static_cast<size_t>(param->spec.shape.numel()));
    }
  }

  // Loss before the update and the 2-norm of its gradient.
  std::pair<double, double> step(const Shape& shape, const std::vector<int64_t>& tokens,
                                 const std::vector<int64_t>& labels) {
    ++step_;
    const Value loss = model_.loss(write_ids(engine_, shape, tokens), labels, {}).loss;
    std::vector<Value> leaves;
    for (auto& [name, param] : params_) leaves.push_back(param->value);
    const Weighted weighted[] = {{loss, HostArray::filled(Shape{}, 1)}};
    const auto grads = gradients(weighted, leaves);
    double squares = 0;
    size_t i = 0;
    for (auto& [name, param] : params_) {
      for (double g : grads[i]->data) squares += g * g;
      update(name, *param, *grads[i++]);
    }
    return {read(loss).data[0], std::sqrt(squares)};
  }

  const std::map<std::string, Param*>& params() const { return params_; }

 private:
  void update(const std::string& name, Param& param, const HostArray& gradient) {
    const std::vector<double> before = read(param.value).data;
    std::vector<Real> weights(before.begin(), before.end()), grad(gradient.data.begin(), gradient.data.end());
    kernels::AdamWArgs<Real> args{.n = static_cast<int64_t>(weights.size()),
                                  .param = weights.data(),
                                  .grad = grad.data(),
                                  .m = m_[name].data(),
                                  .v = v_[name].data(),
                                  .step = step_,
                                  .lr = golden_.setting<double>("lr"),
                                  .beta1 = golden_.settings()["betas"][0].get<double>(),
                                  .beta2 = golden_.settings()["betas"][1].get<double>(),
                                  .eps = golden_.setting<double>("adam_eps"),
                                  .weight_decay = golden_.setting<double>("weight_decay")};
    if constexpr (std::is_same_v<Real, float>) {
      kernels::cpu::adamw(args);
    } else {
      kernels::reference::adamw(args);
    }
    param.value = leaf(engine_, {param.spec.shape, {weights.begin(), weights.end()}});
  }

  const Golden& golden_;
  Engine& engine_;
  LanguageModel model_;
  std::map<std::string, Param*> params_;
  std::map<std::string, std::vector<Real>> m_, v_;
  int64_t step_ = 0;
};

// The gradient of the keys' bias is exactly zero (a shift of every key's score cancels in the softmax): Adam divides
// its rounding noise by itself there, and float32 runs part ways.
HostArray without_key_bias(const std::string& name, const HostArray& x) {
  if (!name.ends_with("Wqkv.bias")) return x;
  HostArray result = x;
  const size_t third = x.data.size() / 3;
  std::fill_n(result.data.begin() + static_cast<int64_t>(third), third, 0.0);
  return result;
}

template <class Real>
void check_run(const Golden& golden, Engine& engine) {
  constexpr bool kSingle = std::is_same_v<Real, float>;
  const HostArray tokens = golden.array("tokens"), losses = golden.array("losses"), norms = golden.array("grad_norms");
  const Shape batch({tokens.shape[1], tokens.shape[2]});
  const std::vector<int64_t> ids = golden.ids("tokens"), labels = golden.ids("labels");
  Trainer<Real> trainer(golden, engine);
  HostArray found_losses = HostArray::zeros(losses.shape), found_norms = HostArray::zeros(norms.shape);
  for (int64_t step = 0; step < losses.shape[0]; ++step) {
    const int64_t n = batch.numel();
    const std::vector<int64_t> step_ids(ids.begin() + step * n, ids.begin() + (step + 1) * n);
    const std::vector<int64_t> step_labels(labels.begin() + step * n, labels.begin() + (step + 1) * n);
    const auto [loss, norm] = trainer.step(batch, step_ids, step_labels);
    found_losses.data[static_cast<size_t>(step)] = loss;
    found_norms.data[static_cast<size_t>(step)] = norm;
  }
  EXPECT_EQ(difference("losses", found_losses, losses, kSingle ? golden.atol("losses", false) : rounding_bound(losses)),
            "");
  EXPECT_EQ(
      difference("grad_norms", found_norms, norms, kSingle ? golden.atol("grad_norms", false) : rounding_bound(norms)),
      "");
  for (const auto& [name, param] : trainer.params()) {
    const HostArray expected = golden.array("final." + name).as(param->spec.shape);
    const double bound = kSingle ? golden.atol("final." + name, false) : 1e-6;
    EXPECT_EQ(difference(name, without_key_bias(name, read(param->value)), without_key_bias(name, expected), bound),
              "");
  }
}

}  // namespace

void check_training_run(const Golden& golden) {
  SCOPED_TRACE("float64 composite");
  check_run<double>(golden, *make_torch_engine(DType::kF64));
  SCOPED_TRACE("float32 kernels");
  check_run<float>(golden, *make_torch_engine(DType::kF32));
  SCOPED_TRACE("our own training engine");
  TapeEngine tape;
  check_run<float>(golden, tape);
}

}  // namespace rebased::testing
