#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/verbs.h"
#include "io/standard_streams.h"
#include "record/table.h"
#include "runtime/state_file.h"

namespace rebased {
namespace {

std::vector<double> numbers_of(const TensorView& array) {
  std::vector<double> numbers(static_cast<size_t>(array.shape.numel()));
  convert_elements(array.data.data(), array.dtype, numbers.data(), DType::kF64, array.shape.numel());
  return numbers;
}

std::string number_text(double number) { return fmt::format("{:.4g}", number); }

std::string count_text(int64_t count, const char* one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

// Names of arrays, layer 2 before layer 10.
struct InLayerOrder {
  bool operator()(const std::string& a, const std::string& b) const {
    auto key = [](const std::string& name) {
      return std::pair(std::atoll(name.c_str() + std::strlen("layers.")), name);
    };
    return key(a) < key(b);
  }
};
using ArrayNames = std::set<std::string, InLayerOrder>;

void add_names(ArrayNames& names, const StateFile& file) {
  for (const auto& [name, array] : file.arrays()) names.insert(name);
}

struct Statistics {
  double least = 0, mean = 0, most = 0;  // 0 where there are no numbers
};

Statistics statistics_of(const TensorView& array) {
  const std::vector<double> numbers = numbers_of(array);
  if (numbers.empty()) return {};
  Statistics result{.least = numbers.front(), .most = numbers.front()};
  for (const double number : numbers) {
    result.least = std::min(result.least, number);
    result.most = std::max(result.most, number);
    result.mean += number / static_cast<double>(numbers.size());
  }
  return result;
}

struct InfoArguments {
  std::string file;
  bool json = false;
};

Json summary_of(const StateFile& file, int64_t bytes) {
  return {{"version", StateFile::kVersion},          {"model", file.model()},
          {"positions", file.positions()},           {"bytes", bytes},
          {"logits", file.logits().has_value()},     {"draws", file.draws()},
          {"begun_bytes", file.begun().bytes.size()}};
}

std::string heading_of(const StateFile& file, int64_t bytes) {
  return fmt::format(
      "state of the model {}: {}, {} bytes in {}; tokens seen: {}\n\n", file.model(), count_text(file.rows(), "row"),
      bytes, count_text(static_cast<int64_t>(file.arrays().size()), "array"), fmt::join(file.positions(), ", "));
}

void info(const InfoArguments& arguments) {
  const StateFile file = StateFile::open(arguments.file);
  ArrayNames names;
  add_names(names, file);
  Table table({{"array"},
               {"shape"},
               {"type"},
               {"bytes", Align::kRight},
               {"least", Align::kRight},
               {"mean", Align::kRight},
               {"most", Align::kRight}});
  Json rows = Json::array();
  int64_t bytes = 0;
  for (const std::string& name : names) {
    const TensorView& array = file.arrays().find(name)->second;
    const auto size = static_cast<int64_t>(array.data.size());
    const std::string type(dtype_name(array.dtype)), shape = array.shape.str();
    const Statistics s = statistics_of(array);
    table.add_row(
        {name, shape, type, std::to_string(size), number_text(s.least), number_text(s.mean), number_text(s.most)});
    rows.push_back({{"name", name},
                    {"shape", shape},
                    {"type", type},
                    {"bytes", size},
                    {"least", s.least},
                    {"mean", s.mean},
                    {"most", s.most}});
    bytes += size;
  }
  if (!arguments.json) return write_output(heading_of(file, bytes) + table.text());
  Json document = summary_of(file, bytes);
  document["arrays"] = rows;
  write_output(json_text(document, 2) + "\n");
}

// What differs: two descriptions, or elements of an array that both have in one shape.
struct Difference {
  std::string name, first{}, second{};
  int64_t elements = 0, of = 0;
  double largest = 0;

  std::string text() const {
    if (of == 0) return fmt::format("{} and {}", first, second);
    return fmt::format("{} of {}, by {} at most", elements, count_text(of, "element"), number_text(largest));
  }
  Json json() const {
    if (of == 0) return {{"name", name}, {"first", first}, {"second", second}};
    return {{"name", name}, {"elements", elements}, {"of", of}, {"largest", largest}};
  }
};

std::string description_of(const TensorView* array) {
  return array == nullptr ? "none" : fmt::format("{} {}", dtype_name(array->dtype), array->shape.str());
}

// Elements whose bits differ.
Difference elements_apart(const std::string& name, const TensorView& a, const TensorView& b) {
  const std::vector<double> x = numbers_of(a), y = numbers_of(b);
  const auto size = static_cast<size_t>(dtype_size(a.dtype));
  Difference result{.name = name, .of = a.shape.numel()};
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::memcmp(&a.data[i * size], &b.data[i * size], size) == 0) continue;
    ++result.elements;
    result.largest = std::max(result.largest, std::abs(x[i] - y[i]));
  }
  return result;
}

std::string described(const Utf8Stream::Begun& begun) {
  std::string text;
  for (const char byte : begun.bytes) text += fmt::format("{:02x} ", static_cast<uint8_t>(byte));
  return text +
         fmt::format("({} of {} shown)", begun.shown, count_text(static_cast<int64_t>(begun.bytes.size()), "byte"));
}

class Comparison {
 public:
  void values(const std::string& name, const std::string& a, const std::string& b) {
    if (a != b) found_.push_back({.name = name, .first = a, .second = b});
  }
  void arrays(const std::string& name, const TensorView* a, const TensorView* b) {
    values(name, description_of(a), description_of(b));
    if (a == nullptr || b == nullptr || a->dtype != b->dtype || a->shape != b->shape) return;
    if (Difference difference = elements_apart(name, *a, *b); difference.elements > 0) found_.push_back(difference);
  }
  const std::vector<Difference>& found() const { return found_; }

 private:
  std::vector<Difference> found_;
};

std::vector<Difference> differences_of(const StateFile& a, const StateFile& b) {
  Comparison comparison;
  comparison.values("model", a.model(), b.model());
  comparison.values("positions", fmt::format("{}", fmt::join(a.positions(), ", ")),
                    fmt::format("{}", fmt::join(b.positions(), ", ")));
  comparison.values("draws", std::to_string(a.draws()), std::to_string(b.draws()));
  comparison.values("begun", described(a.begun()), described(b.begun()));
  auto given = [](const std::optional<TensorView>& logits) { return logits ? &*logits : nullptr; };
  comparison.arrays("logits", given(a.logits()), given(b.logits()));
  ArrayNames names;
  add_names(names, a);
  add_names(names, b);
  auto find = [](const StateFile& file, const std::string& name) {
    const auto found = file.arrays().find(name);
    return found == file.arrays().end() ? nullptr : &found->second;
  };
  for (const std::string& name : names) comparison.arrays(name, find(a, name), find(b, name));
  return comparison.found();
}

struct DiffArguments {
  std::string first, second;
  bool json = false;
};

// As diff does: a file that cannot be read is neither the same nor another one.
StateFile open_to_compare(const std::string& path) {
  try {
    return StateFile::open(path);
  } catch (const Error& error) {
    throw UsageError("{}", error.what());
  }
}

int diff(const DiffArguments& arguments) {
  const StateFile first = open_to_compare(arguments.first), second = open_to_compare(arguments.second);
  const std::vector<Difference> differences = differences_of(first, second);
  if (arguments.json) {
    Json list = Json::array();
    for (const Difference& difference : differences) list.push_back(difference.json());
    write_output(json_text(Json{{"same", differences.empty()}, {"differences", list}}, 2) + "\n");
  } else if (!differences.empty()) {
    Table table({{"differs"}, {"by"}});
    for (const Difference& difference : differences) table.add_row({difference.name, difference.text()});
    write_output(table.text());
  }
  return differences.empty() ? EXIT_SUCCESS : 1;
}

void add_info(CommandLine& state) {
  CommandLine& verb = state.verb("info", "the model, positions and arrays of a state file");
  auto arguments = std::make_shared<InfoArguments>();
  verb.add("FILE", arguments->file, "", "state file");
  verb.add("--json", arguments->json, "", "JSON instead of text");
  verb.example("rebased state info text.state");
  verb.action([arguments] { info(*arguments); });
}

void add_diff(CommandLine& state) {
  CommandLine& verb = state.verb("diff", "what differs between two state files, bit for bit");
  auto arguments = std::make_shared<DiffArguments>();
  verb.about("The exit code is 0 where they are the same, 1 where they differ, 2 where one cannot be read.");
  verb.add("A", arguments->first, "", "state file");
  verb.add("B", arguments->second, "", "state file");
  verb.add("--json", arguments->json, "", "JSON instead of text");
  verb.example("rebased state diff text.state other.state");
  verb.verdict([arguments] { return diff(*arguments); });
}

}  // namespace

void add_state(CommandLine& root) {
  CommandLine& verb = root.verb("state", "look at states that rebased generate has written, and compare them");
  add_info(verb);
  add_diff(verb);
  verb.example("rebased state info text.state");
}

}  // namespace rebased
