#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config/options.h"

namespace rebased {

// What a result was measured on. Empty text and 0 mean unknown. Read and written with config/options.h:
// options_to_json(environment), options_from_json<Environment>(json, "environment.json").
struct Environment {
  struct Library {
    std::string name, version;
    template <class V>
    void visit(V& v) {
      v("name", name, "name of the library");
      v("version", version, "version in use");
    }
    bool operator==(const Library&) const = default;
  };

  std::string version;
  std::string commit;
  std::string compiler;
  std::string build;
  std::string os;
  std::string cpu;
  int cores = 0;
  int threads = 0;
  std::string simd;
  std::string blas;
  int64_t memory_bytes = 0;
  std::vector<Library> libraries;

  template <class V>
  void visit(V& v) {
    v("version", version, "version of rebased");
    v("commit", commit, "commit of rebased, \"-dirty\" after local changes");
    v("compiler", compiler, "compiler and its version");
    v("build", build, "optimised or debug, and the sanitizer if there is one");
    v("os", os, "operating system and kernel");
    v("cpu", cpu, "model of the processor");
    v("cores", cores, "cores that the process may run on", any_value<int>());
    v("threads", threads, "threads in use", any_value<int>());
    v("simd", simd, "best instruction set that the kernels can use, as Highway names it");
    v("blas", blas, "BLAS, its version and the core it is tuned for");
    v("memory_bytes", memory_bytes, "memory of the machine", any_value<int64_t>());
    v("libraries", libraries, "further libraries that take part");
  }

  bool operator==(const Environment&) const = default;
};

// Reads the machine and the program; `libraries` is left to the caller. Never throws for what cannot be found out.
Environment collect_environment();

// Keeps the kernels from instruction sets better than the one that the environment variable REBASED_SIMD names, such as
// AVX2; unset or empty, they use the best. To be called before the first kernel. Throws UsageError naming those that
// exist.
void limit_simd();

// (name, value) pairs for people, unknown ones left out: {"CPU", "Intel Xeon"}, {"threads", "2 of 2 cores"}, ...
std::vector<std::pair<std::string, std::string>> environment_rows(const Environment& environment);

}  // namespace rebased
