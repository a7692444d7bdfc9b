// shoal: the command-line client. This file is the grammar of its command line.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <clocale>
#include <exception>
#include <functional>
#include <map>

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

using Action = std::function<int(const Common&)>;

CLI::App* command(CLI::App& app, const char* name, const char* summary, const char* footer) {
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->fallthrough();
    sub->footer(footer);
    return sub;
}

void add_model(CLI::App& app, std::string& model) {
    app.add_option("MODEL", model,
                   "Name or hash of a model (see `shoal models`), or a GGUF file on this device; "
                   "'' is the daemon's default")
        ->required();
}

/// Options of everything that gives an answer.
void add_answer(CLI::App& app, AnswerOptions& o) {
    auto& s = o.sampling;
    app.add_option("-n,--max-tokens", o.max_tokens,
                   "Most tokens to generate; 0: until the model ends")
        ->capture_default_str();
    app.add_option("-t,--temperature", s.temperature, "0 always takes the likeliest token")
        ->capture_default_str();
    app.add_option("--top-k", s.top_k, "Choose among this many tokens; 0: all")
        ->capture_default_str();
    app.add_option("--top-p", s.top_p, "Choose among tokens of this total probability; 1: all")
        ->capture_default_str();
    app.add_option("--min-p", s.min_p,
                   "Leave out tokens less likely than this part of the likeliest; 0: none")
        ->capture_default_str();
    app.add_option("--repeat-penalty", s.repeat_penalty, "Above 1 discourages repetition")
        ->capture_default_str();
    app.add_option("--presence-penalty", s.presence_penalty,
                   "Taken once from the logit of every token seen")
        ->capture_default_str();
    app.add_option("--frequency-penalty", s.frequency_penalty,
                   "Taken from a token's logit for each time it was seen")
        ->capture_default_str();
    app.add_option("--penalty-last-n", s.penalty_last_n, "Tokens that the penalties look back on")
        ->capture_default_str();
    app.add_option("--seed", o.seed, "The same seed gives the same answer; default: a random one");
    app.add_option("--stop", o.stop, "End before this text; may be given several times")
        ->allow_extra_args(false);
}

void add_run(CLI::App& app, RunOptions& o, Action& action) {
    CLI::App* sub = command(app, "run", "Answer a prompt; the text streams to standard output",
                            "A chat model gets the prompt as a message, any other goes on from "
                            "it.\n"
                            "Without PROMPT, with - or in a pipe, the prompt is read from "
                            "standard input; one newline at its end is left out.\n"
                            "Example: shoal run llama \"Tell me a story\" -n 100 --seed 7");
    add_model(*sub, o.model);
    sub->add_option("PROMPT", o.prompt.argument, "The question, or the text to go on from");
    sub->add_option("-f,--file", o.prompt.file, "Read the prompt from this file");
    add_answer(*sub, o.answer);
    sub->add_flag("--ignore-eos", o.ignore_eos,
                  "Go on when the model wants to end (for measurements)");
    sub->add_flag("--raw", o.raw, "Go on from the text itself, also with a chat model");
    sub->add_option("--system", o.system, "Tell a chat model first what to be")->type_name("TEXT");
    sub->add_option("--schema", o.schema, "Answer with JSON that the JSON schema in FILE describes")
        ->type_name("FILE");
    sub->add_flag("--stats", o.stats, "Tell on standard error what the answer took, at length");
    sub->callback([&] { action = [&](const Common& common) { return run(common, o); }; });
}

void add_chat(CLI::App& app, ChatOptions& o, Action& action) {
    CLI::App* sub = command(app, "chat", "Talk with a chat model",
                            "At a terminal /help lists what can be typed beside messages. From a "
                            "pipe standard input is one message, which is answered.\n"
                            "Example: shoal chat qwen --system \"Answer briefly.\"");
    sub->add_option("MODEL", o.model,
                    "Name or hash of a model (see `shoal models`), or a GGUF file on this device; "
                    "without it the daemon's default");
    add_answer(*sub, o.answer);
    sub->add_option("--system", o.system, "Tell the model first what to be")->type_name("TEXT");
    sub->add_flag("--stats", o.stats, "Tell after each answer what it took");
    sub->callback([&] { action = [&](const Common& common) { return chat(common, o); }; });
}

void add_status(CLI::App& app, StatusOptions& o, Action& action) {
    CLI::App* sub = command(app, "status", "Show the cluster: devices, slices, memory, links",
                            "HEADS, KV, FFN COLUMNS and VOCABULARY are the device's slice of the "
                            "model; the last number counts in. LINK is the time there and back.\n"
                            "With --watch a terminal shows each device's share as a bar, until q "
                            "or Ctrl-C; a pipe gets one status after the other.");
    sub->add_option("-w,--watch", o.watch_seconds, "Show it again every so many seconds (1)")
        ->expected(0, 1)
        ->default_str("1")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 86400.0).description(""));
    sub->callback([&] { action = [&](const Common& common) { return status(common, o); }; });
}

void add_plan(CLI::App& app, PlanOptions& o, Action& action) {
    CLI::App* sub =
        command(app, "plan", "Predict how fast a model would be, by number of devices",
                "Of the cluster: by what its devices measured, and the root's "
                "settings; nothing is loaded.\n"
                "Of devices in a file, for which no daemon is needed: the file is TOML, "
                "[[device]] with name, count, memory_gb and gigabytes_per_second of its "
                "memory, [link], [plan] and, without MODEL, [model].\n"
                "Examples: shoal plan llama\n"
                "          shoal plan --what-if four-boards.toml");
    sub->add_option("MODEL", o.model,
                    "Name or hash of a model (see `shoal models`), or a GGUF file on this device; "
                    "'' is the daemon's default. With --what-if a GGUF file, or nothing for the "
                    "[model] of the file");
    sub->add_option("--devices", o.devices,
                    "Show who takes which part with so many devices, rather than with as many as "
                    "are best")
        ->type_name("N")
        ->check(CLI::Range(1U, static_cast<unsigned>(mesh::messages::kMaxListedDevices))
                    .description(""));
    sub->add_option("--what-if", o.what_if, "Devices, links and a model as TOML")
        ->type_name("FILE");
    sub->callback([sub, &o, &action] {
        if (sub->count("MODEL") == 0 && o.what_if.empty()) {
            throw CLI::RequiredError("MODEL, or --what-if FILE");
        }
        action = [&](const Common& common) { return plan(common, o); };
    });
}

void add_bench(CLI::App& app, BenchOptions& o, Action& action) {
    CLI::App* sub =
        command(app, "bench", "Measure this device, or how fast the cluster is with a model",
                "Nothing else should run. Of the device it takes some seconds: ONE ROW "
                "is bytes of weights a second, as tokens are generated; MANY ROWS are "
                "multiply-adds, as prompts are read. The daemon keeps it, and shares "
                "follow it.\n"
                "Of a model it reads prompts (pp512: of 512 tokens) and writes answers "
                "(tg128), in tokens a second, as a table to paste.\n"
                "Examples: shoal bench\n"
                "          shoal bench llama");
    sub->add_option("MODEL", o.model, "Name or hash of a model, or a GGUF file on this device");
    sub->add_flag("--show", o.show,
                  "Show what was measured last of this device, and measure nothing");
    sub->add_option("-p,--prompt", o.prompt, "Tokens of a prompt")
        ->type_name("N")
        ->check(CLI::Range(1U, 65536U).description(""))
        ->capture_default_str();
    sub->add_option("-n,--answer", o.answer, "Tokens of an answer")
        ->type_name("N")
        ->check(CLI::Range(1U, 65536U).description(""))
        ->capture_default_str();
    sub->add_option("-r,--runs", o.runs, "How often each is measured")
        ->type_name("N")
        ->check(CLI::Range(1U, 1000U).description(""))
        ->capture_default_str();
    sub->callback([&] {
        if (o.show && !o.model.empty()) throw CLI::ExcludesError("--show", "MODEL");
        action = [&](const Common& common) {
            return o.model.empty() ? bench(common, o) : model_bench(common, o);
        };
    });
}

void add_doctor(CLI::App& app, DoctorOptions& o, Action& action) {
    CLI::App* sub = command(app, "doctor", "Look for what is wrong here, and say what to do",
                            "It looks at the daemon, the key, ports and firewalls, memory, disks, "
                            "heat, power and clock of the CPU, the network and the ways to other "
                            "devices, each of which gets some packets for a second. Errors and "
                            "warnings are problems, notices are not: exit code 0 without problems, "
                            "1 with some.\n"
                            "Examples: shoal doctor\n"
                            "          shoal doctor --json | jq -r '.findings[].text'\n"
                            "          sudo shoal doctor --fix");
    sub->add_flag("--fix", o.fix,
                  "Do what is harmless: huge pages, the CPU's governor, the clock, a key that "
                  "others can read");
    sub->add_option("--config", o.config, "The daemon's settings, where they are elsewhere")
        ->envname("SHOAL_CONFIG")
        ->type_name("FILE");
    sub->add_option("--root", o.root, "Look at /proc, /sys, /etc and the rest below this folder")
        ->type_name("FOLDER")
        ->capture_default_str();
    o.version = SHOAL_VERSION;
    sub->callback([&] { action = [&](const Common& common) { return run_doctor(common, o); }; });
}

void add_logs(CLI::App& app, LogsOptions& o, Action& action) {
    CLI::App* sub = command(app, "logs", "Show what the daemon of this device wrote to its log",
                            "By journalctl, of the unit shoald.\n"
                            "Example: shoal logs -f");
    sub->add_flag("-f,--follow", o.follow, "Go on with what it writes from now on");
    sub->add_option("-n,--lines", o.lines, "Show so many of the last lines (200)")->type_name("N");
    sub->add_option("--since", o.since, "Show what is as old as this: \"10 min ago\", 14:30, today")
        ->type_name("TIME");
    sub->callback([&] { action = [&](const Common& common) { return logs(common, o); }; });
}

void add_models(CLI::App& app, ModelsOptions& m, std::string& model, Action& action) {
    CLI::App* list = command(app, "models", "List the models that the cluster has",
                             "DEVICES is how many of them have the file.");
    list->add_flag("--fits", m.fits,
                   "Ask for each with which context the cluster can hold it, as `shoal plan` does");
    list->callback([&] { action = [&](const Common& common) { return models(common, m); }; });
    CLI::App* one = command(app, "load", "Make a model ready, so that the next answer starts soon",
                            "Example: shoal load llama");
    add_model(*one, model);
    one->callback([&] { action = [&](const Common& common) { return load(common, model); }; });
}

void add_files(CLI::App& app, AddOptions& o, std::string& model, Action& action) {
    CLI::App* sub =
        command(app, "add", "Put a model into this device's folder of models",
                "It is checked, copied (or shared with the file, where the file system can), and "
                "read once; then it says what it needs and whether the cluster can hold it. A "
                "download that was stopped goes on when the same is added again.\n"
                "Examples: shoal add ~/Downloads/llama.gguf\n"
                "          shoal add --move ~/Downloads/big-00001-of-00003.gguf\n"
                "          shoal add https://example.org/models/llama.gguf");
    sub->add_option("FILE", o.what,
                    "A GGUF file, any one of those of a split model, a folder with such files, or "
                    "the address of a file (http, https)")
        ->required();
    auto* move = sub->add_flag("--move", o.move, "Move it there");
    sub->add_flag("--link", o.link, "Make a link there, and leave the file where it is")
        ->excludes(move);
    sub->add_option("--sha256", o.sha256,
                    "What is downloaded must have this hash; without it, the one that the server "
                    "tells, if it does")
        ->type_name("HEX");
    sub->callback([&] { action = [&](const Common& common) { return add(common, o); }; });
    CLI::App* remove =
        command(app, "rm", "Remove a model from this device's folder of models",
                "Copies on other devices stay, and so do files elsewhere that it was linked to.\n"
                "Example: shoal rm llama");
    remove->add_option("MODEL", model, "Name or hash of a model (see `shoal models`)")->required();
    remove->callback([&] { action = [&](const Common& common) { return rm(common, model); }; });
}

void add_tokens(CLI::App& app, TokenizeOptions& t, DetokenizeOptions& d, Action& action) {
    CLI::App* to = command(app, "tokenize", "Show the tokens of a text",
                           "Example: shoal tokenize llama \"Hello there\"");
    add_model(*to, t.model);
    to->add_option("TEXT", t.text.argument, "The text; - or none: standard input");
    to->add_option("-f,--file", t.text.file, "Read the text from this file");
    to->add_flag("--no-special", t.no_special, "Add no token at the beginning or end");
    to->add_flag("--no-parse-special", t.no_parse_special,
                 "Take names of special tokens in the text as plain text");
    to->add_flag("--ids", t.ids_only, "Only the ids, on one line");
    to->callback([&] { action = [&](const Common& common) { return tokenize(common, t); }; });

    CLI::App* from = command(app, "detokenize", "Show the text of tokens",
                             "Example: shoal tokenize llama \"Hi\" --ids | shoal detokenize llama");
    add_model(*from, d.model);
    from->add_option("ID", d.ids, "Token ids; none: from standard input");
    from->callback([&] { action = [&](const Common& common) { return detokenize(common, d); }; });
}

void add_contact(CLI::App& app, InviteOptions& i, JoinOptions& j, Action& action) {
    CLI::App* in = command(app, "invite", "Let another device into this device's cluster",
                           "Prints a line for `shoal join` there. It is good for one device and "
                           "ten minutes; whoever reads it first can use it.\n"
                           "Example: shoal invite | ssh other shoal join");
    in->add_flag("--no-qr", i.no_qr, "Do not show it as a QR code as well");
    in->callback([&] { action = [&](const Common& common) { return invite(common, i); }; });

    CLI::App* to = command(app, "join", "Go into another cluster, by an invitation",
                           "Without LINE, or with -, it is asked for, or read from standard "
                           "input. This device leaves the cluster that it is in.");
    to->add_option("LINE", j.invitation, "What `shoal invite` printed");
    to->callback([&] { action = [&](const Common& common) { return join(common, j); }; });

    CLI::App* out = command(app, "leave", "Leave the cluster; this device is then one of its own",
                            "It comes back by an invitation.");
    out->callback([&] { action = [](const Common& common) { return leave(common); }; });
}

void add_devices(CLI::App& app, std::string& device, std::string& name, Action& action) {
    CLI::App* all =
        command(app, "devices", "List the devices of the cluster, rename and forget them",
                "Alone it lists them.\n"
                "Example: shoal devices rename 3f2a91c0 kitchen");
    all->require_subcommand(0, 1);
    CLI::App* list =
        command(*all, "list", "List the devices that belong to the cluster",
                "Those that are not there now as well. SINCE is when this device first "
                "met them.");
    CLI::App* rename = command(*all, "rename", "Give a device that is there another name", "");
    CLI::App* forget =
        command(*all, "forget", "Shut a device out of the cluster",
                "All others get another key, while they work on; those that are switched off get "
                "it when they come back. The device comes back by an invitation alone.");
    for (CLI::App* sub : {rename, forget}) {
        sub->add_option("DEVICE", device, "Its name, or the beginning of its id")->required();
    }
    rename->add_option("NAME", name, "What it is called from now on")->required();
    const auto show = [&] { action = [](const Common& common) { return devices(common); }; };
    list->callback(show);
    all->callback([all, show] {
        if (all->get_subcommands().empty()) show();
    });
    rename->callback([&] {
        action = [&](const Common& common) { return devices_rename(common, device, name); };
    });
    forget->callback(
        [&] { action = [&](const Common& common) { return devices_forget(common, device); }; });
}

void add_key(CLI::App& app, std::string& file, Action& action) {
    CLI::App* key = command(app, "key", "Make or inspect the key that devices of a cluster share",
                            "Example: sudo shoal key new");
    key->require_subcommand(0, 1);
    CLI::App* make = command(*key, "new", "Write a new key to a file that does not exist yet", "");
    CLI::App* print =
        command(*key, "show-fingerprint",
                "Show a key's public name, the same on every device of a cluster", "");
    for (CLI::App* sub : {make, print}) {
        sub->add_option("FILE", file, "The key's file")->capture_default_str();
    }
    make->callback([&] { action = [&](const Common& common) { return key_new(common, file); }; });
    print->callback(
        [&] { action = [&](const Common& common) { return key_fingerprint(common, file); }; });
}

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

/// Throws when something was given that is nothing we know, or no command. CLI11 would say only
/// that something was not expected.
void refuse_unknown(const CLI::App& app, bool has_action) {
    const CLI::App* at = &app;
    while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
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
        return app.exit(error) == 0 ? kOk : kUsage;
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
