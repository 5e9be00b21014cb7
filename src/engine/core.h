#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/shape.h"
#include "engine/value.h"

namespace rebased {

// What a core reads and makes: names, and shapes as patterns of Dims (base/shape.h). From it follow every engine's
// checks and their messages, the memory of results, and what the gradient keeps.
struct Signature {
  struct Operand {
    const char* name;
    const char* shape;
    bool optional = false;
    bool ids = false;         // int64, without a gradient
    bool in_gradient = true;  // read by backward
    int d_is_that_of = -1;    // an operand before it, whose gradient is this one's too
    int reaches = -1;         // the only result that depends on it; -1: any may
  };
  struct State {
    const char* name;
    const char* shape;
  };
  struct Result {
    const char* name;
    const char* shape;
    bool in_gradient = false;  // read by backward
    bool d_optional = false;   // backward takes null for a gradient of zeros
  };

  const char* name;
  const char* folder = nullptr;  // that of its files in cores/, where it is not the name
  std::vector<Operand> operands{};
  std::vector<State> states{};  // all are given or none; read, and left as they are after the last token
  std::vector<Result> results{};
  std::vector<Result> kept{};  // formed for backward alone
};

// One use of a core, by arrays: dense, row-major, in the order of the signature. Real is float for the kernels and
// double for the reference.
template <class Real>
struct CoreCall {
  static constexpr int kMost = 8;  // of operands, of states, of results

  const Dims* dims = nullptr;
  std::array<const void*, kMost> operands{};  // null: absent
  std::array<const Real*, kMost> before{};    // states; null: a fresh start
  std::array<Real*, kMost> after{};           // may be `before`'s own memory; null: not wanted
  std::array<Real*, kMost> results{};
  std::array<Real*, kMost> kept{};  // null: no backward follows
  Real* scratch = nullptr;          // as many elements as the core asks for; the reference has none

  int64_t operator[](std::string_view symbol) const { return (*dims)[symbol]; }
  const Real* in(size_t i) const { return static_cast<const Real*>(operands[i]); }
  const int64_t* ids(size_t i) const { return static_cast<const int64_t*>(operands[i]); }
};

template <class Real>
struct CoreGradCall {
  static constexpr int kMost = CoreCall<Real>::kMost;

  CoreCall<Real> forward;  // with what the signature says backward reads
  std::array<const Real*, kMost> d_results{};
  std::array<const Real*, kMost> d_after{};  // null: zeros
  std::array<Real*, kMost> d_operands{};     // overwritten; null: none is wanted
  std::array<Real*, kMost> d_before{};       // overwritten; null: no states
  Real* scratch = nullptr;
};

// An operation with a kernel and a gradient, its options given: everything an engine needs to know of it
// (docs/adding-an-operation.md). Immutable, and shared with the record of a training pass.
class Core {
 public:
  virtual ~Core() = default;
  virtual const Signature& signature() const = 0;

  // Refuses what patterns cannot say, by ShapeError, and sets the symbols of states and results that follow from the
  // operands' ("K-1").
  virtual void complete(Dims& /*dims*/) const {}

  // The kernel and its gradient: no exceptions, no allocation but in `scratch`.
  virtual int64_t scratch(const CoreCall<float>& /*call*/) const { return 0; }
  virtual int64_t scratch(const CoreGradCall<float>& /*call*/) const { return 0; }
  virtual void forward(const CoreCall<float>& call) const = 0;
  virtual void backward(const CoreGradCall<float>& call) const = 0;
  // The oracle: plain loops, without scratch.
  int64_t scratch(const CoreCall<double>& /*call*/) const { return 0; }
  int64_t scratch(const CoreGradCall<double>& /*call*/) const { return 0; }
  virtual void forward(const CoreCall<double>& call) const = 0;
  virtual void backward(const CoreGradCall<double>& call) const = 0;
};

// A core with the extents of one use of it.
struct CoreUse {
  std::shared_ptr<const Core> core;
  Dims dims;
};

// Binds the signature's symbols to the shapes of operands (null: absent) and states (none, or all); throws ShapeError.
CoreUse bind_core(std::shared_ptr<const Core> core, std::span<const Shape* const> operands,
                  std::span<const Shape* const> states);

// Checks the operands (empty: absent) and has the engine that owns them run the core: its results. States are advanced:
// in place where the caller's handle is the only one. Null for each of them: whole sequences from their beginning.
std::vector<Value> run_core(std::shared_ptr<const Core> core, std::initializer_list<Value> operands,
                            std::initializer_list<Value*> states = {});

}  // namespace rebased
