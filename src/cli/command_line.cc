#include "cli/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>

#include "base/error.h"
#include "base/suggest.h"
#include "base/threads.h"
#include "config/document.h"
#include "config/limits.h"
#include "io/standard_streams.h"

namespace rebased {
namespace {

// "--top-k N    choose among ...; default: 0"
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(30);
    label("Positionals", "Arguments");
    label("SUBCOMMAND", "VERB");
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_type_size() == 0 || option->get_type_name().empty() ? "" : " " + option->get_type_name();
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string& value = option->get_default_str();
    return option->get_description() + (value.empty() ? "" : "; default: " + value);
  }
};

}  // namespace

struct CommandLine::Impl {
  std::unique_ptr<CLI::App> own;  // of the root
  CLI::App* app = nullptr;
  CommandLine* parent = nullptr;
  std::optional<int64_t> threads;  // on the root
  std::vector<std::unique_ptr<CommandLine>> verbs;
  std::string summary, about, examples;
  std::function<int()> act;

  void describe() {
    app->description(summary);
    std::string footer = about.empty() ? "" : about + "\n";
    if (!examples.empty()) footer += (footer.empty() ? "" : "\n") + ("Example:\n" + examples);
    app->footer(footer);
  }
};

CommandLine::CommandLine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CommandLine::~CommandLine() = default;

CommandLine::CommandLine(const std::string& name, const std::string& summary) : impl_(std::make_unique<Impl>()) {
  impl_->own = std::make_unique<CLI::App>("", name);
  impl_->app = impl_->own.get();
  impl_->summary = summary;
  impl_->describe();
  impl_->app->set_help_flag("-h,--help", "print this help");
  impl_->app->formatter(std::make_shared<HelpFormatter>());
  impl_->app->allow_extras();
  impl_->app->require_subcommand(0, 1);
  add_threads();
}

void CommandLine::add_threads() {
  add("--threads", root().impl_->threads, between(1, kMostThreads), "N",
      "threads to compute with; default: every core");
}

CommandLine& CommandLine::root() { return impl_->parent != nullptr ? impl_->parent->root() : *this; }

CommandLine& CommandLine::verb(const std::string& name, const std::string& summary) {
  auto impl = std::make_unique<Impl>();
  impl->app = impl_->app->add_subcommand(name)->group("Verbs");
  impl->parent = this;
  impl->summary = summary;
  impl->describe();
  return *impl_->verbs.emplace_back(new CommandLine(std::move(impl)));
}

template <class T>
void CommandLine::add(const std::string& names, T& value, const std::string& placeholder, const std::string& help) {
  const bool is_argument = names.front() != '-';
  if constexpr (std::is_same_v<T, bool>) {
    impl_->app->add_flag(names, value, help);
  } else {
    CLI::Option* option = impl_->app->add_option(names, value, help)->type_name(placeholder);
    if constexpr (std::is_same_v<T, std::string>) {
      option->required(value.empty());
      if (!value.empty()) option->capture_default_str();
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      option->required(is_argument);
      if (!is_argument) option->expected(1)->take_all();
    }
  }
}

template void CommandLine::add(const std::string&, bool&, const std::string&, const std::string&);
template void CommandLine::add(const std::string&, std::string&, const std::string&, const std::string&);
template void CommandLine::add(const std::string&, std::vector<std::string>&, const std::string&, const std::string&);
template void CommandLine::add(const std::string&, std::optional<std::string>&, const std::string&, const std::string&);

namespace {

template <class T>
T number_type(const std::optional<T>&);
template <class T>
T number_type(const T&);

}  // namespace

template <class T>
void CommandLine::add(const std::string& names, T& value, const Range& range, const std::string& placeholder,
                      const std::string& help) {
  const std::string name = names.substr(names.rfind(',') + 1);
  auto take = [&value, range, name](const std::string& text) {
    value = number_from_text<decltype(number_type(value))>(text, name, range);
  };
  CLI::Option* option = impl_->app->add_option_function<std::string>(names, take, help)->type_name(placeholder);
  if constexpr (std::is_same_v<T, int64_t>) option->default_str(std::to_string(value));
}

template void CommandLine::add(const std::string&, int64_t&, const Range&, const std::string&, const std::string&);
template void CommandLine::add(const std::string&, std::optional<int64_t>&, const Range&, const std::string&,
                               const std::string&);
template void CommandLine::add(const std::string&, std::optional<uint64_t>&, const Range&, const std::string&,
                               const std::string&);
template void CommandLine::add(const std::string&, std::optional<double>&, const Range&, const std::string&,
                               const std::string&);

std::shared_ptr<Json> CommandLine::add_options(std::span<const OptionHelp> rows) {
  auto typed = std::make_shared<Json>(Json::object());
  for (const OptionHelp& row : rows) {
    std::string flag = "--" + row.name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    auto take = [typed, row, flag](const std::string& text) {
      (*typed)[row.name] = row.type == "string" ? Json(text) : parse_typed_value(text, flag, "");
    };
    const std::string placeholder = row.type == "integer" ? "N" : row.type == "number" ? "X" : "TEXT";
    impl_->app->add_option_function<std::string>(flag, take, row.help)
        ->type_name(placeholder)
        ->default_str(row.default_text);
  }
  return typed;
}

void CommandLine::about(const std::string& text) {
  impl_->about = text;
  impl_->describe();
}

void CommandLine::example(const std::string& command) {
  impl_->examples += (impl_->examples.empty() ? "  " : "\n  ") + command;
  impl_->describe();
}

void CommandLine::action(std::function<void()> act) {
  verdict([act = std::move(act)] {
    act();
    return 0;
  });
}

void CommandLine::verdict(std::function<int()> act) {
  impl_->act = std::move(act);
  if (impl_->parent != nullptr) add_threads();
}

void CommandLine::forward(std::function<void(const std::vector<std::string>& typed)> act) {
  impl_->app->set_help_flag();
  impl_->app->prefix_command();
  impl_->act = [this, act = std::move(act)] {
    if (const auto threads = root().impl_->threads) {
      throw UsageError("--threads cannot take effect here: give --set threads={} behind {}", *threads, path());
    }
    act(impl_->app->remaining());
    return 0;
  };
}

// The deepest verb that was typed.
CommandLine& CommandLine::chosen() {
  for (const auto& verb : impl_->verbs) {
    if (verb->impl_->app->parsed()) return verb->chosen();
  }
  return *this;
}

std::string CommandLine::path() const {
  const std::string name = impl_->app->get_name();
  return impl_->parent != nullptr ? impl_->parent->path() + " " + name : name;
}

void CommandLine::refuse(const std::string& problem) const { throw UsageError("{}; see {} --help", problem, path()); }

std::vector<std::string> CommandLine::flag_names() const {
  std::vector<std::string> names;
  for (const CLI::Option* option : impl_->app->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// What was typed and nothing takes: flags first, for what follows an unknown flag may be its value.
void CommandLine::refuse_unknown() const {
  const std::vector<std::string> left = impl_->app->remaining();
  if (left.empty()) return;
  const auto flag =
      std::find_if(left.begin(), left.end(), [](const std::string& word) { return word.starts_with("-"); });
  if (flag != left.end()) {
    const std::string name = flag->substr(0, flag->find('='));
    refuse(fmt::format("unknown flag '{}'{}", name, did_you_mean(name, flag_names())));
  }
  if (impl_->verbs.empty()) refuse(fmt::format("unexpected argument '{}'", left.front()));
  std::vector<std::string> verbs;
  for (const auto& verb : impl_->verbs) verbs.push_back(verb->impl_->app->get_name());
  refuse(fmt::format("unknown verb '{}'{}", left.front(), did_you_mean(left.front(), verbs)));
}

int CommandLine::run(int argc, char** argv) {
  try {
    impl_->app->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    write_output(impl_->app->help());
    return 0;
  } catch (const CLI::ParseError& error) {
    const CommandLine& verb = chosen();
    verb.refuse_unknown();
    verb.refuse(error.what());
  }
  const CommandLine& verb = chosen();
  if (!verb.impl_->act || !verb.impl_->app->get_prefix_command()) verb.refuse_unknown();
  if (!verb.impl_->act) verb.refuse("no verb was given");
  if (const auto threads = impl_->threads) set_thread_count(static_cast<int>(*threads));
  return verb.impl_->act();
}

}  // namespace rebased
