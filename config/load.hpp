// Settings from the command line, the environment and a file, in this order of precedence.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/settings.hpp"

namespace shoal::config {

/// Read when it exists and no other file is named.
inline constexpr const char* kDefaultFile = "/etc/shoal/shoald.toml";
/// Larger files are refused before they are read.
inline constexpr std::size_t kMaxFileBytes = 1u << 20;

/// A setting that cannot be used. The message begins with where it was said: "file:line: ",
/// "SHOAL_HTTP_PORT: " or "--http.port: "; then the key, what is wrong and what is allowed.
class ConfigError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Texts by name: of flags ("http.port", "8091"), of the environment ("SHOAL_HTTP_PORT", "8091").
using Texts = std::vector<std::pair<std::string, std::string>>;

/// What the command line of shoald says.
struct CommandLine {
    bool help = false;
    bool version = false;
    bool check = false;          ///< only check the settings
    bool cpu = false;            ///< only show what will compute, and how
    bool json = false;           ///< of cpu: as JSON
    bool take_boot_key = false;  ///< only take up a key of cluster.boot_keys
    std::string file;            ///< of --config; empty: none named
    Texts flags;                 ///< of --section.key=value, in order
};

/// Read `--config FILE`, `--check`, `--cpu`, `--json`, `--take-boot-key`, `--help`, `--version` and
/// `--section.key=value`. A value may
/// follow as the next argument; a boolean key alone means true. `arguments` excludes the
/// program's name. Throws ConfigError for anything else.
CommandLine parse_command_line(std::span<const char* const> arguments);

/// The process's environment variables that begin with SHOAL_.
Texts environment_texts();

/// Where settings come from.
struct Sources {
    std::string file;  ///< empty: SHOAL_CONFIG, else kDefaultFile when it exists, else none
    Texts environment;
    Texts flags;
};

/// Read everything, make paths absolute and fill http.api_key from http.api_key_file.
/// Variables SHOAL_<SECTION>_... that are no key are errors; other SHOAL_ variables are not ours.
/// Throws ConfigError when something is unknown, of the wrong type or out of range, when settings
/// contradict each other, or when a file cannot be read.
Settings load_settings(const Sources& sources);

/// The same from a file's content; reads no file, not even http.api_key_file. `file_name` is for
/// messages and the folder of relative paths.
Settings parse_settings(std::string_view toml, const std::string& file_name,
                        const Texts& environment, const Texts& flags);

}  // namespace shoal::config
