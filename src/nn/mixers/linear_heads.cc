#include "nn/mixers/linear_heads.h"

#include "base/error.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/quadratic_attention/quadratic_attention.h"

namespace rebased {
namespace {

int64_t width_of(int64_t heads, int64_t width, const Scope& scope, const char* what) {
  return checked_width(heads * width, fmt::format("{}: the width of the {} of {} heads", scope.prefix(), what, heads));
}

}  // namespace

LinearHeads::LinearHeads(const Scope& scope, int64_t channels, int64_t heads, int64_t key_dim, int64_t value_dim)
    : heads_(heads),
      value_dim_(value_dim),
      proj_q_(scope.child("proj_q"), channels, width_of(heads, key_dim, scope, "queries"), false),
      proj_k_(scope.child("proj_k"), channels, heads * key_dim, false),
      proj_v_(scope.child("proj_v"), channels, width_of(heads, value_dim, scope, "values"), false),
      proj_o_(scope.child("proj_o"), heads * value_dim, channels, false) {}

bool LinearHeads::prefers_few_queries(const Value& x, const Context& ctx, const MixerState* state, int64_t key_dim,
                                      const QuadraticKernel& kernel) const {
  const bool pairs = ctx.form == Form::kAuto || ctx.form == Form::kParallel;
  if (!pairs || state != nullptr || ctx.layout != nullptr || ctx.observer != nullptr) return false;
  const int64_t N = static_cast<int64_t>(ctx.outputs.size()) / x.size(0);
  return kernels::few_queries_cost_less(x.size(1), N, key_dim, value_dim_, kernel);
}

std::vector<StateArray> LinearHeads::state_arrays(int64_t features) const {
  return {{"s", Shape({heads_, features, value_dim_})}, {"z", Shape({heads_, features})}};
}

int64_t value_dim_of(int64_t option, int64_t channels, int64_t heads, const std::string& path) {
  const int64_t width = option > 0 ? option : channels / heads;
  if (width == 0)
    throw ConfigError("{}: {} channels leave nothing for each of {} heads; set head_dim", path, channels, heads);
  return width;
}

}  // namespace rebased
