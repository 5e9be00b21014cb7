#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "contract/op_rows.h"

namespace rebased::testing {

using Operands = std::span<Value>;
using Sizes = std::vector<std::vector<Shape>>;

// Rows as they are listed: an operation is a function of its operands, and of the engine where it asks for it, to a
// value or to several.
class Rows {
 public:
  template <class F>
  OpRow& add(std::string name, Sizes sizes, const F& f) {
    auto run = [f](Engine& engine, Operands x) -> std::vector<Value> {
      if constexpr (std::is_invocable_v<F, Engine&, Operands>) {
        return f(engine, x);
      } else {
        return {f(x)};
      }
    };
    return rows_.emplace_back(OpRow{std::move(name), std::move(sizes), run});
  }
  template <class F>
  OpRow& add_stateful(std::string name, Sizes sizes, int in_time, int states, const F& f) {
    OpRow& row = add(std::move(name), std::move(sizes), f);
    row.in_time = in_time;
    row.states = states;
    return row;
  }
  std::vector<OpRow> take() { return std::move(rows_); }

 private:
  std::vector<OpRow> rows_;
};

// Positions of eight documents in each row of x [B, T, ...], or more of 128 tokens.
Value eighths(Engine& engine, const Value& x);

void add_attentions(Rows& rows);  // linear, quadratic and softmax attention

}  // namespace rebased::testing
