#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/options.h"
#include "io/safetensors.h"
#include "support/host_array.h"

namespace rebased::testing {

// A file of numbers computed by the public code of a method, in float64 on inputs that are exact float32 values. Its
// metadata says what it is (`function`, `settings`) and how near a float32 implementation must come (`atol`).
class Golden {
 public:
  explicit Golden(const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& repository() const { return repository_; }
  const std::string& function() const { return function_; }
  const Json& settings() const { return settings_; }
  template <class T>
  T setting(const char* name) const {
    return settings_.at(name).get<T>();
  }
  template <class T>
  T setting_or(const char* name, const T& otherwise) const {
    return settings_.contains(name) && !settings_[name].is_null() ? settings_[name].get<T>() : otherwise;
  }

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  HostArray array(const std::string& name) const;
  Shape shape(const std::string& name) const { return file_.at(name).shape; }
  std::vector<int64_t> ids(const std::string& name) const;
  std::vector<std::string> names(std::string_view prefix) const;  // of tensors, without the prefix
  bool unused(const std::string& name) const;                     // a parameter that the public code never uses

  // Allowed error of float32: in the order of sums of the public code, or in any (`other_forms`).
  double atol(const std::string& name, bool other_forms) const;

 private:
  std::string path_;
  SafetensorsFile file_;
  std::string repository_, function_, unused_;
  Json settings_, atol_, atol_other_forms_;
};

// Every *.safetensors below a folder, sorted: of this repository, or of REBASED_FIXTURES where that is set.
std::vector<std::string> golden_paths(const std::string& folder);
std::string golden_folder();  // of this repository
std::string golden_folder_asked_for();

}  // namespace rebased::testing
