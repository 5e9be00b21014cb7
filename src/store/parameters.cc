#include "store/parameters.h"

#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/finite.h"
#include "engine/engine.h"
#include "io/file.h"
#include "store/packed_tensors.h"

namespace rebased {
namespace init {

Init constant(double value) {
  return [value](std::span<float> data, const Shape&, Rng&) {
    std::fill(data.begin(), data.end(), static_cast<float>(value));
  };
}

Init normal(double std) {
  return [std](std::span<float> data, const Shape&, Rng& rng) {
    for (float& x : data) x = static_cast<float>(std * rng.normal());
  };
}

Init uniform(double bound) {
  return [bound](std::span<float> data, const Shape&, Rng& rng) {
    for (float& x : data) x = static_cast<float>(bound * (2 * rng.uniform() - 1));
  };
}

Init identity() {
  return [](std::span<float> data, const Shape& shape, Rng&) {
    std::fill(data.begin(), data.end(), 0.0f);
    for (int64_t i = 0; i < shape[0]; ++i) data[static_cast<size_t>(i * shape[1] + i)] = 1.0f;
  };
}

namespace {

// Gram-Schmidt on `rows` Gaussian rows of `columns` (rows <= columns), to unit norm. Fewer rows are the first of more.
void orthogonal_block(std::span<double> block, int64_t rows, int64_t columns, Rng& rng) {
  for (double& x : block) x = rng.normal();
  auto row = [&](int64_t i) { return block.subspan(static_cast<size_t>(i * columns), static_cast<size_t>(columns)); };
  auto dot = [](std::span<const double> a, std::span<const double> b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      const double overlap = dot(row(i), row(j));
      for (int64_t c = 0; c < columns; ++c) row(i)[static_cast<size_t>(c)] -= overlap * row(j)[static_cast<size_t>(c)];
    }
    const double norm = std::sqrt(dot(row(i), row(i)));
    for (double& x : row(i)) x /= norm;
  }
}

}  // namespace

Init normal_rows_orthogonal(double scale) {
  return [scale](std::span<float> data, const Shape& shape, Rng& rng) {
    const int64_t rows = shape[0], columns = shape[1];
    std::vector<double> block(static_cast<size_t>(std::min(rows, columns) * columns));
    for (int64_t begin = 0; begin < rows; begin += columns) {
      const int64_t count = std::min(columns, rows - begin);
      orthogonal_block(std::span(block).first(static_cast<size_t>(count * columns)), count, columns, rng);
      for (int64_t i = 0; i < count * columns; ++i) {
        data[static_cast<size_t>(begin * columns + i)] = static_cast<float>(scale * block[static_cast<size_t>(i)]);
      }
    }
  };
}

}  // namespace init

Param& ParameterStore::declare(ParamSpec spec) {
  if (by_name_.contains(spec.name)) throw ConfigError("parameter {} is declared twice", spec.name);
  if (!(spec.group.lr_scale > 0 && std::isfinite(spec.group.lr_scale))) {
    throw ConfigError("parameter {}: expected a positive lr_scale, found {}", spec.name, spec.group.lr_scale);
  }
  Param& param = params_.emplace_back(Param{std::move(spec), {}});
  by_name_.emplace(param.spec.name, &param);
  return param;
}

Param& ParameterStore::at(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) throw ConfigError("the model has no parameter {}", name);
  return *found->second;
}

int64_t ParameterStore::trainable_count() const {
  int64_t count = 0;
  for (const Param& param : params_) count += param.spec.trainable ? param.spec.shape.numel() : 0;
  return count;
}

void ParameterStore::initialise(Engine& engine, uint64_t seed) {
  std::vector<float> data;
  for (Param& param : params_) {
    Rng rng(derive_key(seed, "init:" + param.spec.name));
    data.assign(static_cast<size_t>(param.spec.shape.numel()), 0.0f);
    param.spec.init(data, param.spec.shape, rng);
    const Value whole = engine.from_host(data.data(), DType::kF32, param.spec.shape, engine.compute_dtype());
    param.value = param.spec.matrix ? engine.matrix(whole) : whole;
  }
}

namespace {

// A tensor that a file must hold; without a dtype any float type will do.
struct Expected {
  std::string name;
  std::optional<DType> dtype;
  Shape shape;
};

std::vector<Expected> expected_tensors(const std::deque<Param>& params, std::optional<kernels::Packing> packing) {
  std::vector<Expected> expected;
  for (const Param& param : params) {
    const ParamSpec& spec = param.spec;
    if (!packing || !spec.matrix) {
      expected.push_back({spec.name, std::nullopt, spec.shape});
      continue;
    }
    for (const TensorToWrite& part : packed_tensors(*packing, spec.name, spec.shape)) {
      expected.push_back({part.name, part.dtype, part.shape});
    }
  }
  return expected;
}

bool starts_at_multiple(const TensorView& tensor, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(tensor.data.data()) % static_cast<uintptr_t>(bytes) == 0;
}

// What keeps `found` from being `expected`, empty when nothing does.
std::string mismatch(const Expected& expected, const TensorView& found) {
  if (found.shape != expected.shape) {
    return fmt::format("{}: expected {}, found {}", expected.name, expected.shape.str(), found.shape.str());
  }
  if (!expected.dtype) {
    if (is_floating(found.dtype)) return "";
    return fmt::format("{}: expected a float type, found {}", expected.name, dtype_name(found.dtype));
  }
  if (found.dtype != *expected.dtype) {
    return fmt::format("{}: expected {}, found {}", expected.name, dtype_name(*expected.dtype),
                       dtype_name(found.dtype));
  }
  const int64_t size = dtype_size(found.dtype);
  if (starts_at_multiple(found, size)) return "";
  return fmt::format("{}: expected to start at a multiple of {} bytes of the file", expected.name, size);
}

// What keeps `tensors` from being the values of `params`, a sentence part each.
std::vector<std::string> mismatches(const std::vector<Expected>& expected, const TensorMap& tensors) {
  std::vector<std::string> problems;
  std::set<std::string_view> known;
  for (const Expected& one : expected) {
    known.insert(one.name);
    const auto found = tensors.find(one.name);
    const std::string problem =
        found == tensors.end() ? fmt::format("{} is missing", one.name) : mismatch(one, found->second);
    if (!problem.empty()) problems.push_back(problem);
  }
  for (const auto& [name, tensor] : tensors) {
    if (!known.contains(name)) problems.push_back(fmt::format("{} is not part of the model", name));
  }
  return problems;
}

void require_finite(bool finite, const std::string& name, std::string_view file) {
  if (!finite) throw FormatError("{}: {}: expected finite numbers, found infinity or NaN", file, name);
}

// A matrix of a mapped file that the engine may pack: each row is checked while it is in the cache, then let go.
Value matrix_of(Engine& engine, const Value& whole, const TensorView& tensor, const std::string& name,
                std::string_view file) {
  const int64_t O = tensor.shape[0], I = tensor.shape[1];
  auto check = [&](int64_t begin, int64_t end) {
    const auto* data = reinterpret_cast<const float*>(tensor.data.data());
    require_finite(all_finite({data + begin * I, static_cast<size_t>((end - begin) * I)}), name, file);
  };
  int64_t packed_rows = 0;
  Value held = engine.matrix(whole, [&](int64_t begin, int64_t end) {
    check(begin, end);
    const size_t row = static_cast<size_t>(I) * sizeof(float);
    release_pages(tensor.data.subspan(static_cast<size_t>(begin) * row, static_cast<size_t>(end - begin) * row));
    packed_rows = end;
  });
  check(packed_rows, O);
  return held;
}

// A tensor of a mapped file; what was copied or packed does not stay in memory twice.
Value value_of(Engine& engine, const TensorView& tensor, const ParamSpec& spec, std::string_view file) {
  if (tensor.dtype == DType::kF32 && starts_at_multiple(tensor, alignof(float))) {
    const auto* data = reinterpret_cast<const float*>(tensor.data.data());
    const Value whole = engine.borrow(data, tensor.shape, tensor.owner);
    if (spec.matrix) return matrix_of(engine, whole, tensor, spec.name, file);
    require_finite(all_finite({data, static_cast<size_t>(tensor.shape.numel())}), spec.name, file);
    return whole;
  }
  require_finite(all_finite(read_f32(tensor)), spec.name, file);
  const Value copy = engine.from_host(tensor.data.data(), tensor.dtype, tensor.shape, engine.compute_dtype());
  release_pages(tensor.data);
  return spec.matrix ? engine.matrix(copy) : copy;
}

}  // namespace

void ParameterStore::load(Engine& engine, const TensorSource& source, std::string_view file) {
  const TensorMap& tensors = source.tensors();
  const std::optional<kernels::Packing> packing = packing_in(source.metadata(), file);
  if (packing) refuse_older_layout(*packing, tensors, file);
  const std::vector<std::string> problems = mismatches(expected_tensors(params_, packing), tensors);
  if (!problems.empty()) throw FormatError("{}: {}", file, fmt::join(problems, "; "));
  for (Param& param : params_) {
    const ParamSpec& spec = param.spec;
    if (packing && spec.matrix) {
      const MappedMatrix mapped = mapped_matrix(*packing, spec.name, spec.shape, tensors);
      require_finite(all_finite(mapped.matrix), spec.name, file);
      param.value = engine.borrow_packed(mapped.matrix, mapped.owner);
    } else {
      param.value = value_of(engine, tensors.find(spec.name)->second, spec, file);
    }
  }
}

Scope Scope::child(std::string_view name) const { return Scope(*store_, full_name(name), init_std_, residual_std_); }

Param& Scope::param(std::string_view name, const Shape& shape, Init init, ParamGroup group) const {
  return store_->declare({.name = full_name(name), .shape = shape, .init = std::move(init), .group = group});
}

Param& Scope::matrix(std::string_view name, const Shape& shape, Init init, ParamGroup group) const {
  return store_->declare(
      {.name = full_name(name), .shape = shape, .init = std::move(init), .group = group, .matrix = true});
}

Param& Scope::gain_or_bias(std::string_view name, const Shape& shape, Init init) const {
  return param(name, shape, std::move(init), {.decay = WeightDecay::kWithAll});
}

Param& Scope::buffer(std::string_view name, const Shape& shape, Init init) const {
  return store_->declare({.name = full_name(name), .shape = shape, .init = std::move(init), .trainable = false});
}

std::string Scope::full_name(std::string_view name) const {
  return prefix_.empty() ? std::string(name) : fmt::format("{}.{}", prefix_, name);
}

}  // namespace rebased
