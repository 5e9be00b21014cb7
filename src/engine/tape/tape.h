#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/cpu/cpu_value.h"
#include "engine/value.h"

namespace rebased {

class Slopes;

// One operation that was carried out, or a tracked value: where gradients are added up on the way back.
struct TapeNode {
  struct Edge {
    std::shared_ptr<TapeNode> node;  // null: no gradient is wanted
    int output = 0;
  };
  int64_t order = 0;                      // above that of every input
  std::vector<Edge> inputs;               // of the operands, in order
  std::function<void(Slopes&)> backward;  // null for a tracked value, and once it has run
  std::vector<Value> gradients;           // of the outputs, as far as they are known
  bool leaf = false;
};

// Adds `part` to `sum`, which may be empty; may take over either's memory.
using Join = std::function<void(Value& sum, Value part)>;

// The gradients at one operation: of its outputs, which are known, and of its inputs, which it gives.
class Slopes {
 public:
  using Reached = std::function<void(const std::shared_ptr<TapeNode>&)>;
  Slopes(TapeNode& node, const Join& join, const Reached& reached) : node_(node), join_(join), reached_(reached) {}

  bool wanted(int input) const { return edge(input).node != nullptr; }
  // Of an output; empty where nothing depends on it. May be moved from.
  Value& of(int output = 0) { return node_.gradients[static_cast<size_t>(output)]; }
  void give(int input, Value gradient);
  // The sum that input's gradient will be added to, when there is one that may be added to in place; else empty.
  Value sum_so_far(int input) const;

 private:
  const TapeNode::Edge& edge(int input) const { return node_.inputs[static_cast<size_t>(input)]; }

  TapeNode& node_;
  const Join& join_;
  const Reached& reached_;
};

// The same memory as a value that nothing is recorded of: what a backward pass may keep of its operands and results.
Value without_history(const Value& x);
// Nobody else sees this value or its memory.
bool is_exclusive(const Value& x);

// Carries gradients of the outputs, `weights`, back to the tracked values, the newest operation first.
void run_backward(std::span<const Value> outputs, std::span<const Value> weights, const Join& join);

}  // namespace rebased
