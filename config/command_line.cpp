#include <string>
#include <string_view>

#include "config/keys.hpp"
#include "config/load.hpp"
#include "config/syntax.hpp"

namespace shoal::config {
namespace {

std::string flag_name(const Key& key) {
    return "--" + std::string(key.name);
}

// The member that a flag without a value sets, or null.
bool* flag_without_value(CommandLine& line, std::string_view argument) {
    if (argument == "--help" || argument == "-h") return &line.help;
    if (argument == "--version") return &line.version;
    if (argument == "--check") return &line.check;
    if (argument == "--cpu") return &line.cpu;
    if (argument == "--json") return &line.json;
    return nullptr;
}

[[noreturn]] void fail(const std::string& where, const std::string& what) {
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
            fail("command line", shown(argument) +
                                     " is not a flag; write --config FILE, --section.key=value "
                                     "or --help");
        }
        const auto equals = argument.find('=');
        const std::string name(argument.substr(2, equals - 2));
        const Key* key = find_key(name);
        if (key == nullptr && name != "config") {
            fail(shown("--" + name), "unknown flag" + suggestion(name, flag_name));
        }
        std::string text;
        if (equals != std::string_view::npos) {
            text = argument.substr(equals + 1);
        } else if (key != nullptr && key->kind == Kind::boolean) {
            text = "true";
        } else if (i + 1 < arguments.size()) {
            text = arguments[++i];
        } else {
            fail("--" + name, "needs a value: --" + name + "=VALUE");
        }
        if (key != nullptr) {
            line.flags.emplace_back(name, text);
        } else if (text.empty()) {
            fail("--config", "needs the name of a file");
        } else {
            line.file = text;
        }
    }
    if (line.json && !line.cpu) fail("--json", "goes with --cpu only");
    return line;
}

}  // namespace shoal::config
