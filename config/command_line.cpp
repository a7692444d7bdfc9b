#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "config/keys.hpp"
#include "config/load.hpp"
#include "config/nearest.hpp"
#include "config/syntax.hpp"

namespace shoal::config {
namespace {

struct Plain {
    std::string_view name;
    bool CommandLine::*member;
};
constexpr Plain kPlain[] = {{"--help", &CommandLine::help},
                            {"-h", &CommandLine::help},
                            {"--version", &CommandLine::version},
                            {"--check", &CommandLine::check},
                            {"--cpu", &CommandLine::cpu},
                            {"--json", &CommandLine::json},
                            {"--take-boot-key", &CommandLine::take_boot_key}};

// The member that a flag without a value sets, or null.
bool* flag_without_value(CommandLine& line, std::string_view argument) {
    for (const Plain& plain : kPlain) {
        if (argument == plain.name) return &(line.*plain.member);
    }
    return nullptr;
}

// The end of a message about a flag that there is not: keys are flags, too.
std::string flag_suggestion(const std::string& name) {
    std::vector<std::string_view> plain = {"--config"};
    for (const Plain& p : kPlain) {
        if (p.name.starts_with("--")) plain.push_back(p.name);
    }
    const std::string_view near = nearest("--" + name, plain);
    if (near.empty()) return suggestion(name, flag_name);
    return "; did you mean " + std::string(near) + "?";
}

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
    throw ConfigError(where + ": " + what);
}

}  // namespace

CommandLine parse_command_line(std::span<const char* const> arguments) {
    CommandLine line;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view argument = arguments[i];
        if (bool* alone = flag_without_value(line, argument)) {
            *alone = true;
            continue;
        }
        if (!argument.starts_with("--")) {
            const std::string name(
                argument.substr(std::min(argument.find_first_not_of('-'), argument.size())));
            CommandLine ignored;
            const bool plain = flag_without_value(ignored, "--" + name) != nullptr;
            refuse("command line",
                   shown(argument) + " is not a flag; " +
                       (plain ? "did you mean --" + name + "?"
                              : "write --config FILE, --section.key=value or --help"));
        }
        const auto equals = argument.find('=');
        const std::string name(argument.substr(2, equals - 2));
        const Key* key = find_key(name);
        if (key == nullptr && name != "config") {
            refuse(shown("--" + name), "unknown flag" + flag_suggestion(name));
        }
        std::string text;
        if (equals != std::string_view::npos) {
            text = argument.substr(equals + 1);
        } else if (key != nullptr && key->kind == Kind::boolean) {
            text = "true";
        } else if (i + 1 < arguments.size()) {
            text = arguments[++i];
        } else {
            refuse("--" + name, "needs a value: --" + name + "=VALUE");
        }
        if (key != nullptr) {
            line.flags.emplace_back(name, text);
        } else if (text.empty()) {
            refuse("--config", "needs the name of a file");
        } else {
            line.file = text;
        }
    }
    if (line.json && !line.cpu) refuse("--json", "goes with --cpu only");
    return line;
}

}  // namespace shoal::config
