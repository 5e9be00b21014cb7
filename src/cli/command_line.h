#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/options.h"

namespace rebased {

// The command line as a tree of verbs. A verb says where its arguments and flags go and what to do with them; what the
// user typed is then parsed in one place. Keeps CLI11 out of the other files, where it would double compile times.
class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& summary);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // A verb below this one; lives as long as its parent.
  CommandLine& verb(const std::string& name, const std::string& summary);

  // Where a value goes: names "MODEL" for an argument, "-n,--tokens" for flags; `placeholder` stands for a flag's value
  // in the help. An argument or a flag whose std::string is empty must be given, and so must a list of arguments. T is
  // bool, std::string, std::vector<std::string> or std::optional<std::string>. The value must live until run() returns.
  template <class T>
  void add(const std::string& names, T& value, const std::string& placeholder, const std::string& help);
  // A number, which has bounds: T is int64_t, or std::optional of int64_t, uint64_t or double.
  template <class T>
  void add(const std::string& names, T& value, const Range& range, const std::string& placeholder,
           const std::string& help);

  // A flag for every row: "--top-k" for "top_k", with its help and default. What was typed is collected in the result,
  // for options_from_json.
  std::shared_ptr<Json> add_options(std::span<const OptionHelp> rows);

  void about(const std::string& text);       // behind the flags in --help
  void example(const std::string& command);  // the last lines of --help; the last example given is the last line
  void action(std::function<void()> act);
  void verdict(std::function<int()> act);  // an action that gives the exit code

  // All that was typed behind the verb is handed to `act` as it is, --help and all. A --threads in front is refused:
  // what the verb forwards to has its own way to set them.
  void forward(std::function<void(const std::vector<std::string>& typed)> act);

  // Parses and carries out; on the root. The exit code, 0 unless a verdict gives another. Throws UsageError, and what
  // the action throws. --help prints to stdout. Every verb with an action takes --threads, which is set before the
  // action runs.
  int run(int argc, char** argv);

 private:
  struct Impl;
  explicit CommandLine(std::unique_ptr<Impl> impl);
  void add_threads();
  CommandLine& chosen();
  CommandLine& root();
  [[noreturn]] void refuse(const std::string& problem) const;
  void refuse_unknown() const;
  std::vector<std::string> flag_names() const;
  std::string path() const;  // "rebased eval mqar"

  std::unique_ptr<Impl> impl_;
};

}  // namespace rebased
