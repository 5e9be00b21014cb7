#include "nn/state_mixer.h"

#include "base/error.h"
#include "cores/swiglu/swiglu.h"

namespace rebased {
namespace {

class Identity : public StateMixer {
 public:
  Value forward(const Value& x) const override { return x; }
};

// zoology's MLP: exact GELU, biases; fc2 is scaled with depth.
class Mlp : public StateMixer {
 public:
  Mlp(const Scope& scope, int64_t C, int64_t hidden)
      : fc1_(scope.child("fc1"), C, hidden, true), fc2_(scope.child("fc2"), hidden, C, true, scope.residual_std()) {}
  Value forward(const Value& x) const override { return fc2_(unary(UnaryOp::kGelu, fc1_(x))); }

 private:
  Linear fc1_, fc2_;
};

// zoology's GLU: the gate is fc2, which its name-based rule scales with depth.
class Glu : public StateMixer {
 public:
  Glu(const Scope& scope, int64_t C, int64_t hidden)
      : fc1_(scope.child("fc1"), C, hidden, true),
        fc2_(scope.child("fc2"), C, hidden, true, scope.residual_std()),
        fc3_(scope.child("fc3"), hidden, C, true) {}
  Value forward(const Value& x) const override { return fc3_(mul(fc1_(x), unary(UnaryOp::kGelu, fc2_(x)))); }

 private:
  Linear fc1_, fc2_, fc3_;
};

// The gate and up matrices lie in one: rows [up | gate], the gate second as in Based's GatedMlp.
class SwiGlu : public StateMixer {
 public:
  SwiGlu(const Scope& scope, int64_t C, int64_t hidden)
      : fc1_(scope.child("fc1"), C, 2 * hidden, false),
        fc2_(scope.child("fc2"), hidden, C, false, scope.residual_std()) {}
  Value forward(const Value& x) const override { return fc2_(swiglu(fc1_(x))); }

 private:
  Linear fc1_, fc2_;
};

}  // namespace

int64_t hidden_width(const StateMixerOptions& options, int64_t C, const std::string& path) {
  const bool is_swiglu = options.type == "swiglu";
  const double wide = options.ratio * static_cast<double>(C);
  const int64_t asked = options.hidden > 0 ? options.hidden : static_cast<int64_t>(is_swiglu ? wide * 2 / 3 : wide);
  const int64_t step = is_swiglu ? options.multiple_of : 1;
  const std::string source = options.hidden > 0 ? "hidden" : fmt::format("ratio {} of {} channels", options.ratio, C);
  return checked_width((asked + step - 1) / step * step, fmt::format("{}: the hidden width by {}", path, source));
}

std::unique_ptr<StateMixer> make_state_mixer(const StateMixerOptions& options, const Scope& scope, int64_t C) {
  if (options.type == "identity") return std::make_unique<Identity>();
  const int64_t hidden = hidden_width(options, C, scope.prefix());
  if (options.type == "mlp") return std::make_unique<Mlp>(scope, C, hidden);
  if (options.type == "glu") return std::make_unique<Glu>(scope, C, hidden);
  return std::make_unique<SwiGlu>(scope, C, hidden);
}

}  // namespace rebased
