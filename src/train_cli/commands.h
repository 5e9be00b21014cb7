#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace rebased {

// Each adds its subcommand; `run` is set to what the chosen one does, which returns the exit code.
void add_train_command(CLI::App& app, std::function<int()>& run);
void add_sweep_command(CLI::App& app, std::function<int()>& run);
void add_validate_command(CLI::App& app, std::function<int()>& run);
void add_bench_command(CLI::App& app, std::function<int()>& run);

// The command line as a person would type it, for reports.
void remember_command_line(int argc, char** argv);
const std::string& command_line();

}  // namespace rebased
