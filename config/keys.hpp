// The table of every key: what it takes, its unit and range, and where its value lives. The
// loader, the environment names, `shoald --help` and config/shoald.toml all come from it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/settings.hpp"

namespace shoal::config {

/// What a key takes.
enum class Kind : std::uint8_t {
    boolean,
    integer,
    bytes,  ///< an integer, or text with a unit: "8GiB"
    text,
    path,  ///< text; relative paths are taken from the folder of whoever said them
    choice,
    text_list,
    path_list,
};

/// A value on its way into Settings; a choice travels as its name.
using Value = std::variant<bool, std::int64_t, std::string, std::vector<std::string>>;

/// One key. Everything is static: keys live as long as the program.
struct Key {
    std::string_view name;  ///< "http.port"
    Kind kind;
    std::string_view unit;  ///< "ms", "bytes"; empty where there is none
    /// Smallest and largest value of integers and bytes, length of texts, entries of lists.
    std::int64_t min, max;
    std::span<const std::string_view> choices;
    /// A further rule on a text or on each entry of a list; returns what is wrong with it.
    std::optional<std::string> (*check)(std::string_view text);
    std::string_view summary;
    bool secret;  ///< its value is never shown
    void (*assign)(const Key& key, Settings& settings, const Value& value);
    Value (*read)(const Key& key, const Settings& settings);
};

/// Every key, section by section, in the order of config/shoald.toml.
std::span<const Key> keys() noexcept;
/// Nothing when there is no such key.
const Key* find_key(std::string_view name) noexcept;
/// The known key that looks most like `name`; nothing when none is near.
const Key* nearest_key(std::string_view name);

/// "--http.port"
std::string flag_name(const Key& key);

/// The end of a message about an unknown name: "; did you mean http.port?", where `spell` writes
/// the key as the user would have to.
std::string suggestion(std::string_view name, std::string (*spell)(const Key& key));

/// "http" of "http.port".
std::string_view section(const Key& key) noexcept;
/// "SHOAL_HTTP_PORT"
std::string environment_name(const Key& key);
/// What may be given, for messages and help: "0..65535", "one of auto, f32, f16".
std::string allowed(const Key& key);
/// The value as config/shoald.toml writes it: `8090`, `"auto"`, `["a", "b"]`, `"8 MiB"`.
std::string toml_text(const Key& key, const Value& value);
/// The value of a fresh Settings.
Value default_value(const Key& key);

/// What is wrong with a value of the right type, or nothing. Checks range, choices and syntax.
std::optional<std::string> problem(const Key& key, const Value& value);
/// Read the text of a flag or environment variable; lists are separated by commas. Returns a
/// value that problem() has not seen yet, or nothing when the text is not of the key's kind.
std::optional<Value> parse_text(const Key& key, std::string_view text);
/// Read a size: "4096", "512MiB", "8 GiB" (powers of 1024), "8GB" (powers of 1000).
std::optional<std::int64_t> parse_bytes(std::string_view text) noexcept;

/// True for addresses that only this machine can reach: 127.0.0.0/8, ::1, localhost.
bool is_loopback(std::string_view address);

/// Whether a daemon that runs takes another value of it (SIGHUP).
bool is_live(const Key& key) noexcept;
/// The keys whose values differ.
std::vector<const Key*> changed_keys(const Settings& from, const Settings& to);

/// The explanation of every key for `shoald --help`.
std::string help_text();
/// The commented example: the exact text of config/shoald.toml.
std::string example_file();
/// The manual page shoald.toml(5): the exact text of packaging/man/shoald.toml.5.
std::string manual_page();

}  // namespace shoal::config
