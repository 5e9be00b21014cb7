#include "golden/golden_file.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "config/document.h"

namespace rebased::testing {
namespace {

std::string metadata_of(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

Json object_of(const SafetensorsFile& file, const std::string& key, const std::string& path) {
  const std::string text = metadata_of(file, key);
  return text.empty() ? Json::object() : parse_json(text, path);
}

}  // namespace

Golden::Golden(const std::string& path)
    : path_(path),
      file_(SafetensorsFile::open(path)),
      repository_(metadata_of(file_, "repository")),
      function_(metadata_of(file_, "function")),
      unused_(metadata_of(file_, "unused_parameters")),
      settings_(object_of(file_, "settings", path)),
      atol_(object_of(file_, "atol", path)),
      atol_other_forms_(object_of(file_, "atol_other_forms", path)) {}

HostArray Golden::array(const std::string& name) const {
  const TensorView& tensor = file_.at(name);
  HostArray result = HostArray::zeros(tensor.shape);
  convert_elements(tensor.data.data(), tensor.dtype, result.data.data(), DType::kF64, tensor.shape.numel());
  return result;
}

std::vector<int64_t> Golden::ids(const std::string& name) const {
  const TensorView& tensor = file_.at(name);
  std::vector<int64_t> result(static_cast<size_t>(tensor.shape.numel()));
  convert_elements(tensor.data.data(), tensor.dtype, result.data(), DType::kI64, tensor.shape.numel());
  return result;
}

std::vector<std::string> Golden::names(std::string_view prefix) const {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : file_.tensors()) {
    if (name.starts_with(prefix)) result.push_back(name.substr(prefix.size()));
  }
  return result;
}

bool Golden::unused(const std::string& name) const { return unused_.find(name) != std::string::npos; }

double Golden::atol(const std::string& name, bool other_forms) const {
  if (!atol_.contains(name)) throw FormatError("{}: no atol for {}", path_, name);
  const double own = atol_[name].get<double>();
  return other_forms && atol_other_forms_.contains(name) ? std::max(own, atol_other_forms_[name].get<double>()) : own;
}

std::vector<std::string> golden_paths(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string golden_folder() { return REBASED_TESTS_DIR "/golden/data"; }

std::string golden_folder_asked_for() {
  const char* folder = std::getenv("REBASED_FIXTURES");
  return folder != nullptr ? folder : golden_folder();
}

}  // namespace rebased::testing
