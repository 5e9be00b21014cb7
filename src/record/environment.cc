#include "record/environment.h"

#include <cblas.h>
#include <hwy/targets.h>
#include <sched.h>
#include <sys/utsname.h>

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"
#include "base/version.h"

namespace rebased {
namespace {

// The text behind `separator` on the first line of `path` that starts with `key`; empty when there is none.
std::string value_of(const char* path, std::string_view key, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(separator);
    if (!line.starts_with(key) || at == std::string::npos) continue;
    const size_t first = line.find_first_not_of(" \t\"", at + 1), last = line.find_last_not_of(" \t\"");
    return first == std::string::npos || first > last ? "" : line.substr(first, last - first + 1);
  }
  return "";
}

std::string describe_cpu(const utsname& kernel) {
  std::string model = value_of("/proc/cpuinfo", "model name", ':');
  if (model.empty()) model = value_of("/proc/cpuinfo", "Model", ':');  // some ARM kernels
  return model.empty() ? kernel.machine : model;
}

std::string describe_os(const utsname& kernel) {
  const std::string kernel_text = fmt::format("{} {} {}", kernel.sysname, kernel.release, kernel.machine);
  const std::string name = value_of("/etc/os-release", "PRETTY_NAME", '=');
  return name.empty() ? kernel_text : name + ", " + kernel_text;
}

std::string describe_compiler() {
#if defined(__clang__)
  return fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
  return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
  return "";
#endif
}

std::string describe_build() {
#if defined(__OPTIMIZE__)
  std::string build = "optimised";
#else
  std::string build = "debug";
#endif
#if defined(__SANITIZE_ADDRESS__)
  build += ", AddressSanitizer";
#elif defined(__SANITIZE_THREAD__)
  build += ", ThreadSanitizer";
#endif
  return build;
}

// Instruction sets that this machine and this build have, best first: bits of faster ones are lower.
std::vector<int64_t> simd_targets() {
  std::vector<int64_t> targets;
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    targets.push_back(left & -left);
  }
  return targets;
}

std::string best_simd_target() {
  const std::vector<int64_t> targets = simd_targets();
  return targets.empty() ? "" : hwy::TargetName(targets.front());
}

// The configuration starts with name and version: "OpenBLAS 0.3.21 NO_AFFINITY ...".
std::string describe_blas() {
  const std::string config = openblas_get_config();
  const size_t end = config.find(' ', config.find(' ') + 1);
  return fmt::format("{} ({})", config.substr(0, end), openblas_get_corename());
}

int allowed_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

}  // namespace

Environment collect_environment() {
  utsname kernel{};
  uname(&kernel);
  Environment environment;
  environment.version = version();
  environment.commit = git_commit();
  environment.compiler = describe_compiler();
  environment.build = describe_build();
  environment.os = describe_os(kernel);
  environment.cpu = describe_cpu(kernel);
  environment.cores = allowed_cores();
  environment.threads = thread_count();
  environment.simd = best_simd_target();
  environment.blas = describe_blas();
  environment.memory_bytes = machine_memory();
  return environment;
}

void limit_simd() {
  const char* wanted = std::getenv("REBASED_SIMD");
  if (wanted == nullptr || *wanted == '\0') return;
  std::string names;
  for (const int64_t target : simd_targets()) {
    const char* name = hwy::TargetName(target);
    if (std::strcmp(name, wanted) == 0) return hwy::DisableTargets(target - 1);
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  }
  throw UsageError("REBASED_SIMD: expected one of {}, found '{}'", names, wanted);
}

std::vector<std::pair<std::string, std::string>> environment_rows(const Environment& environment) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) rows.emplace_back(name, value);
  };
  add("version", environment.version);
  add("commit", environment.commit);
  add("CPU", environment.cpu);
  if (environment.threads > 0) add("threads", fmt::format("{} of {} cores", environment.threads, environment.cores));
  add("SIMD", environment.simd);
  if (environment.memory_bytes > 0) add("memory", fmt::format("{:.1f} GiB", environment.memory_bytes * 0x1p-30));
  add("BLAS", environment.blas);
  for (const Environment::Library& library : environment.libraries) add(library.name.c_str(), library.version);
  add("compiler", environment.compiler + (environment.build.empty() ? "" : ", " + environment.build));
  add("system", environment.os);
  return rows;
}

}  // namespace rebased
