// A configuration file, and flags after it: whatever they say, the loader answers with settings
// that every key's rules accept, or with a ConfigError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/keys.hpp"
#include "config/load.hpp"
#include "config/rules.hpp"

using namespace shoal::config;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // Zero bytes end the file and each argument.
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const auto toml = all.substr(0, all.find('\0'));
    std::vector<std::string> arguments;
    for (std::string_view rest = all.substr(toml.size()); !rest.empty();) {
        rest.remove_prefix(1);
        arguments.emplace_back(rest.substr(0, rest.find('\0')));
        rest.remove_prefix(arguments.back().size());
    }
    std::vector<const char*> pointers;
    for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
    try {
        const CommandLine line = parse_command_line(pointers);
        const Settings settings = parse_settings(toml, "/etc/shoal/shoald.toml", {}, line.flags);
        for (const Key& key : keys()) {
            if (problem(key, key.read(key, settings))) std::abort();
        }
        if (broken_rule(settings)) std::abort();
    } catch (const ConfigError&) {
    }
    return 0;
}
