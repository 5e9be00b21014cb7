#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "train/recipe.h"

namespace rebased {

// The engine that a recipe asks for. The program decides which there are.
using MakeEngine = std::unique_ptr<Engine> (*)(const Recipe& recipe);

// The program `name` with all its subcommands; returns its exit code.
int run_trainer(const char* name, int argc, char** argv, MakeEngine make_engine);

// Each adds its subcommand; `run` is set to what the chosen one does, which returns the exit code.
void add_train_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine);
void add_sweep_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine);
void add_validate_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine);
void add_bench_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine);

// A flag for a number from 1 to `most`.
void add_count(CLI::App& command, const std::string& flag, int64_t& count, int64_t most, const std::string& help);

// The command line as a person would type it, for reports.
void remember_command_line(int argc, char** argv);
const std::string& command_line();

}  // namespace rebased
