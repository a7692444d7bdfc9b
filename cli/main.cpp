// shoal: the command-line client. Its commands stand in command_line_*.cpp; here is what all share.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <clocale>
#include <exception>
#include <map>

#include "cli/command_line.hpp"
#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/json.hpp"
#include "config/nearest.hpp"
#include "config/settings.hpp"

namespace shoal::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  shoal chat                                     talk with the model that there is
  shoal status                                   who is there and who computes what
  shoal run ./llama.gguf "Once upon a time"      a model file on this device
  git log -1 | shoal run llama                   the pipe is the prompt
  shoal run llama -f question.txt -n 200 --temperature 0
  shoal run llama "Hi" --json | jq -r .text      events as JSON, one on a line
  shoal status --watch
  shoal doctor                                   what is wrong, and what to do

Exit codes:
  0    all went well
  1    the request failed, the message says why; or `shoal doctor` found problems
  2    the command line or a value in it is wrong
  3    the daemon cannot be reached, or went away while it answered
  4    no such model or device
  5    the daemon is busy: its queue is full, try again later
  130  Ctrl-C (128 and the number of the signal)
  141  standard output was closed by its reader
)";

std::vector<std::string_view> command_names(const CLI::App& app) {
    std::vector<std::string_view> names;
    for (const CLI::App* sub : app.get_subcommands(nullptr)) names.push_back(sub->get_name());
    return names;
}

/// "shoal key"
std::string full_name(const CLI::App& app) {
    return app.get_parent() == nullptr ? app.get_name()
                                       : full_name(*app.get_parent()) + ' ' + app.get_name();
}

[[noreturn]] void unknown_command(const CLI::App& app, const std::string& word) {
    const auto names = command_names(app);
    const std::string_view near = config::nearest(word, names);
    const std::string name = full_name(app);
    throw Error(
        kUsage,
        fmt::format("there is no command \"{}\"{}\nThe commands of `{}` are {}; `{} --help` "
                    "tells of each.",
                    one_line(word),
                    near.empty() ? "." : fmt::format("; did you mean `{} {}`?", name, near), name,
                    fmt::join(names, ", "), name));
}

/// Throws Error(kUsage) when there is no such command.
const CLI::App& find_command(const CLI::App& app, const std::string& word) {
    for (const CLI::App* sub : app.get_subcommands(nullptr)) {
        if (sub->get_name() == word) return *sub;
    }
    unknown_command(app, word);
}

void add_help(CLI::App& app, std::vector<std::string>& words, Action& action) {
    CLI::App* sub = command(app, "help", "Explain Shoal's client, or one of its commands",
                            "Example: shoal help run");
    sub->add_option("COMMAND", words, "The command to explain");
    sub->callback([&] {
        action = [&](const Common&) {
            const CLI::App* about = &app;
            for (const std::string& word : words) about = &find_command(*about, word);
            const CLI::App* parent = about->get_parent();
            // An app that has parsed a command would explain that one.
            app.clear();
            Output(-1).write(about->help(parent == nullptr ? "" : full_name(*parent)));
            return kOk;
        };
    });
}

/// The names of an app's options as they are typed: "--json", "-q".
void add_option_names(const CLI::App& app, std::vector<std::string>& names) {
    for (const CLI::Option* option : app.get_options()) {
        for (const auto& name : option->get_lnames()) names.push_back("--" + name);
        for (const auto& name : option->get_snames()) names.push_back("-" + name);
    }
}

[[noreturn]] void unknown_option(const CLI::App& at, const std::string& given) {
    std::vector<std::string> names;
    for (const CLI::App* app = &at; app != nullptr; app = app->get_parent()) {
        add_option_names(*app, names);
    }
    const std::vector<std::string_view> known(names.begin(), names.end());
    const std::string name = given.substr(0, given.find('='));
    const std::string_view near = config::nearest(name, known);
    throw Error(kUsage, fmt::format("there is no option {}{} See `{} --help`.", one_line(name),
                                    near.empty() ? "." : fmt::format("; did you mean {}?", near),
                                    full_name(at)));
}

/// The command that was typed, as far as it is one.
const CLI::App& command_of(const CLI::App& app) {
    const CLI::App* at = &app;
    while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
    return *at;
}

/// Throws when something was given that is nothing we know, or no command. CLI11 would say only
/// that something was not expected.
void refuse_unknown(const CLI::App& app, bool has_action) {
    const CLI::App* const at = &command_of(app);
    std::vector<std::string> left = app.remaining(true);
    std::erase(left, "--");  // What it stands before was taken, or is left as well.
    const auto option =
        std::ranges::find_if(left, [](const auto& word) { return word.starts_with('-'); });
    if (option != left.end()) unknown_option(*at, *option);
    if (!command_names(*at).empty()) {
        if (!left.empty()) unknown_command(*at, left.front());
        if (has_action) return;
        throw Error(kUsage,
                    fmt::format("`{}` needs a command: {}. See `{} --help`.", full_name(*at),
                                fmt::join(command_names(*at), ", "), full_name(*at)));
    }
    if (left.empty()) return;
    throw Error(kUsage, fmt::format("\"{}\" is one word too many; put a text of several words in "
                                    "quotes. See `{} --help`.",
                                    one_line(left.front()), full_name(*at)));
}

void add_common(CLI::App& app, Common& common) {
    app.add_option("--socket", common.socket, "The daemon's control socket")
        ->envname("SHOAL_SOCKET")
        ->type_name("PATH")
        ->capture_default_str();
    app.add_flag("--json", common.json, "Print events as JSON, one object on a line");
    app.add_flag("-q,--quiet", common.quiet, "No progress and no summary on standard error");
    app.add_option("--patience", common.patience_seconds,
                   "Give up on a daemon that is silent for this long, even when asked")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 86400.0).description(""))
        ->capture_default_str();
    app.add_option("--color", common.color,
                   "Colour: auto (on a terminal, unless NO_COLOR is set), always or never")
        ->type_name("WHEN")
        ->transform(CLI::CheckedTransformer(std::map<std::string, Color>{{"auto", Color::automatic},
                                                                         {"always", Color::always},
                                                                         {"never", Color::never}})
                        .description(""))
        ->default_str("auto");
    app.set_version_flag("--version", "shoal " SHOAL_VERSION);
}

int fail(const Common& common, int code, const std::string& message) {
    complain(message);
    if (common.json) {
        try {
            Output(-1).write(json_error_line(code, message));
        } catch (const Error&) {
            // Standard output is what failed; standard error has the message.
        }
    }
    return code;
}

int main(int argc, char** argv) {
    std::setlocale(LC_ALL, "");
    // Numbers are printed and read the same way everywhere.
    std::setlocale(LC_NUMERIC, "C");

    Common common;
    common.socket = config::ControlSettings{}.socket;
    ChatOptions chat_options;
    RunOptions run_options;
    StatusOptions status_options;
    PlanOptions plan_options;
    BenchOptions bench_options;
    DoctorOptions doctor_options;
    LogsOptions logs_options;
    TokenizeOptions tokenize_options;
    DetokenizeOptions detokenize_options;
    AddOptions add_options;
    ModelsOptions models_options;
    InviteOptions invite_options;
    JoinOptions join_options;
    std::string device, device_name;
    std::string model;
    std::string key_file = config::cluster_key_file({});
    std::vector<std::string> help_words;
    Action action;

    CLI::App app(
        "One language model across every small computer you own: the command-line "
        "client of shoald.",
        "shoal");
    app.footer(kFooter);
    // What is left over is judged by refuse_unknown(), which names it.
    app.require_subcommand(0, 1);
    app.allow_extras();
    add_common(app, common);
    add_chat(app, chat_options, action);
    add_run(app, run_options, action);
    add_status(app, status_options, action);
    add_plan(app, plan_options, action);
    add_bench(app, bench_options, action);
    add_doctor(app, doctor_options, action);
    add_logs(app, logs_options, action);
    add_models(app, models_options, model, action);
    add_files(app, add_options, model, action);
    add_tokens(app, tokenize_options, detokenize_options, action);
    add_contact(app, invite_options, join_options, action);
    add_devices(app, device, device_name, action);
    add_key(app, key_file, action);
    add_help(app, help_words, action);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error);
        return fail(common, kUsage,
                    fmt::format("{}. See `{} --help`.", error.what(), full_name(command_of(app))));
    }
    try {
        refuse_unknown(app, action != nullptr);
        return action(common);
    } catch (const Error& error) {
        return fail(common, error.code(), error.what());
    } catch (const std::exception& error) {
        return fail(common, kFailed, error.what());
    }
}

}  // namespace
}  // namespace shoal::cli

int main(int argc, char** argv) {
    return shoal::cli::main(argc, argv);
}
