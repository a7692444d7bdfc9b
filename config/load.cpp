#include "config/load.hpp"

#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "config/keys.hpp"
#include "config/rules.hpp"
#include "config/syntax.hpp"

namespace shoal::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "SHOAL_";
constexpr std::size_t kMaxApiKeyFileBytes = 1024;

[[noreturn]] void fail(const std::string& where, const std::string& what) {
    throw ConfigError(where + ": " + what);
}

std::string plain_name(const Key& key) {
    return std::string(key.name);
}

/// Settings while they are being read, with where each key was said last.
class Reader {
  public:
    /// `where` begins the message; relative paths start at `folder`.
    void set(const Key& key, Value value, const std::string& where, const fs::path& folder) {
        if (auto wrong = problem(key, value)) {
            fail(where, std::string(key.name) + ": " + *wrong);
        }
        if (key.kind == Kind::path) {
            make_absolute(std::get<std::string>(value), folder, where);
        } else if (key.kind == Kind::path_list) {
            for (auto& path : std::get<std::vector<std::string>>(value)) {
                make_absolute(path, folder, where);
            }
        }
        if (auto wrong = problem(key, value)) {
            fail(where, std::string(key.name) + ": as an absolute path it " + *wrong);
        }
        key.assign(key, settings_, value);
        origins_[key.name] = where;
    }

    void set_text(const Key& key, const std::string& text, const std::string& where) {
        auto value = parse_text(key, text);
        if (!value) {
            fail(where, std::string(key.name) + ": " + (key.secret ? "the value" : shown(text)) +
                            " is not usable; allowed: " + allowed(key));
        }
        set(key, std::move(*value), where, {});
    }

    void read_table(const toml::table& root, const std::string& file);
    void read_environment(const Texts& environment);
    void read_flags(const Texts& flags);

    /// Check what concerns several keys.
    Settings finish() && {
        if (auto broken = broken_rule(settings_)) {
            // The rule names its keys by priority of blame: the first that somebody said.
            for (std::string_view name : broken->keys) {
                const auto said = origins_.find(name);
                if (said != origins_.end()) {
                    fail(said->second, std::string(name) + ": " + broken->what);
                }
            }
            fail("settings", broken->what);
        }
        return std::move(settings_);
    }

  private:
    /// An empty folder is the working directory.
    static void make_absolute(std::string& path, const fs::path& folder, const std::string& where) {
        if (path.empty() || path.front() == '/') return;
        std::error_code error;
        const fs::path whole = fs::absolute(folder / path, error);
        if (error) fail(where, "no working directory to start " + shown(path) + " at");
        path = whole.lexically_normal().string();
    }

    Settings settings_;
    std::map<std::string_view, std::string> origins_;
};

const char* type_name(toml::node_type type) noexcept {
    switch (type) {
        case toml::node_type::table:
            return "a table";
        case toml::node_type::array:
            return "a list";
        case toml::node_type::string:
            return "text";
        case toml::node_type::integer:
            return "an integer";
        case toml::node_type::floating_point:
            return "a number with a fraction";
        case toml::node_type::boolean:
            return "true or false";
        case toml::node_type::date:
        case toml::node_type::time:
        case toml::node_type::date_time:
            return "a date or time";
        case toml::node_type::none:
            break;
    }
    return "nothing";
}

std::string at(const std::string& file, const toml::source_region& source) {
    return file + ':' + std::to_string(source.begin.line);
}

[[noreturn]] void fail_type(const Key& key, const toml::node& node, const std::string& where) {
    fail(where,
         std::string(key.name) + ": is " + type_name(node.type()) + "; allowed: " + allowed(key));
}

Value list_value(const Key& key, const toml::node& node, const std::string& file) {
    std::vector<std::string> entries;
    for (const toml::node& entry : *node.as_array()) {
        const auto* text = entry.as_string();
        if (text == nullptr) {
            fail(at(file, entry.source()), std::string(key.name) + ": an entry is " +
                                               type_name(entry.type()) +
                                               "; allowed: " + allowed(key));
        }
        entries.push_back(text->get());
    }
    return entries;
}

Value node_value(const Key& key, const toml::node& node, const std::string& file) {
    const std::string where = at(file, node.source());
    switch (key.kind) {
        case Kind::boolean:
            if (const auto* flag = node.as_boolean()) return flag->get();
            break;
        case Kind::bytes:
            if (const auto* text = node.as_string()) {
                if (auto value = parse_bytes(text->get())) return *value;
                fail(where, std::string(key.name) + ": " + shown(text->get()) +
                                " is not a size; allowed: " + allowed(key));
            }
            [[fallthrough]];
        case Kind::integer:
            if (const auto* number = node.as_integer()) return number->get();
            break;
        case Kind::text:
        case Kind::path:
        case Kind::choice:
            if (const auto* text = node.as_string()) return text->get();
            break;
        case Kind::text_list:
        case Kind::path_list:
            if (node.is_array()) return list_value(key, node, file);
            break;
    }
    fail_type(key, node, where);
}

bool is_section(std::string_view name) noexcept {
    return std::ranges::any_of(keys(), [&](const Key& key) { return section(key) == name; });
}

std::string sections() {
    std::string all;
    std::string_view last;
    for (const Key& key : keys()) {
        if (section(key) == last) continue;
        last = section(key);
        all += (all.empty() ? "[" : ", [") + std::string(last) + ']';
    }
    return all;
}

void Reader::read_table(const toml::table& root, const std::string& file) {
    const fs::path folder = fs::path(file).parent_path();
    for (const auto& [section_name, section_node] : root) {
        const std::string where = at(file, section_name.source());
        const std::string outer(section_name.str());
        if (!is_section(outer)) {
            const std::string what = section_node.is_table() ? "unknown section" : "unknown key";
            fail(where, shown(outer) + ": " + what +
                            (section_node.is_table() ? "; the sections are " + sections()
                                                     : suggestion(outer, plain_name)));
        }
        const toml::table* table = section_node.as_table();
        if (table == nullptr) {
            fail(where, outer + ": is a section; write [" + outer + "] and its keys below");
        }
        for (const auto& [key_name, node] : *table) {
            const std::string full = outer + '.' + std::string(key_name.str());
            const Key* key = find_key(full);
            if (key == nullptr) {
                fail(at(file, key_name.source()),
                     shown(full) + ": unknown key" + suggestion(full, plain_name));
            }
            set(*key, node_value(*key, node, file), at(file, node.source()), folder);
        }
    }
}

void Reader::read_environment(const Texts& environment) {
    for (const auto& [variable, text] : environment) {
        const auto all = keys();
        const auto known = std::ranges::find_if(
            all, [&name = variable](const Key& key) { return environment_name(key) == name; });
        if (known != all.end()) {
            set_text(*known, text, variable);
            continue;
        }
        if (!variable.starts_with(kPrefix)) continue;
        // Others share the prefix, such as the client's SHOAL_SOCKET; a section's name in it
        // says that a key was meant.
        std::string name = variable.substr(kPrefix.size());
        for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        const auto underscore = name.find('_');
        if (underscore == std::string::npos || !is_section(name.substr(0, underscore))) continue;
        name[underscore] = '.';
        fail(shown(variable), "unknown key" + suggestion(name, environment_name));
    }
}

void Reader::read_flags(const Texts& flags) {
    for (const auto& [name, text] : flags) {
        const Key* key = find_key(name);
        if (key == nullptr) fail("--" + name, "unknown key" + suggestion(name, flag_name));
        set_text(*key, text, "--" + name);
    }
}

/// The content of a small file. Throws ConfigError naming `what` it is.
std::string read_file(const std::string& path, std::size_t limit, const std::string& what) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) fail(path, what + " is a folder; name a file");
    std::ifstream in(path, std::ios::binary);
    if (!in) fail(path, "cannot open " + what + ": " + std::strerror(errno));
    std::string content(limit + 1, '\0');
    in.read(content.data(), static_cast<std::streamsize>(content.size()));
    if (in.bad()) fail(path, "cannot read " + what + ": " + std::strerror(errno));
    content.resize(static_cast<std::size_t>(in.gcount()));
    if (content.size() > limit) {
        fail(path, what + " is larger than " + std::to_string(limit) + " bytes");
    }
    return content;
}

/// The file to read; empty when there is none.
std::string chosen_file(const Sources& sources) {
    if (!sources.file.empty()) return sources.file;
    for (const auto& [variable, text] : sources.environment) {
        if (variable == "SHOAL_CONFIG" && !text.empty()) return text;
    }
    std::error_code ignored;
    return fs::exists(kDefaultFile, ignored) ? kDefaultFile : "";
}

void read_api_key_file(Settings& settings) {
    HttpSettings& http = settings.http;
    if (http.api_key_file.empty() || !http.enabled) return;
    std::string content =
        read_file(http.api_key_file, kMaxApiKeyFileBytes, "the file of http.api_key_file");
    while (!content.empty() && (content.back() == '\n' || content.back() == '\r')) {
        content.pop_back();
    }
    if (content.empty()) fail(http.api_key_file, "http.api_key_file: the file is empty");
    const Key& key = *find_key("http.api_key");
    if (auto wrong = problem(key, content)) {
        fail(http.api_key_file, "http.api_key_file: the key in it " + *wrong);
    }
    http.api_key = content;
}

}  // namespace

Settings parse_settings(std::string_view toml, const std::string& file_name,
                        const Texts& environment, const Texts& flags) {
    Reader reader;
    try {
        reader.read_table(toml::parse(toml, std::string_view(file_name)), file_name);
    } catch (const toml::parse_error& error) {
        fail(at(file_name, error.source()), std::string(error.description()));
    }
    reader.read_environment(environment);
    reader.read_flags(flags);
    return std::move(reader).finish();
}

Settings load_settings(const Sources& sources) {
    const std::string file = chosen_file(sources);
    const std::string content =
        file.empty() ? "" : read_file(file, kMaxFileBytes, "the configuration file");
    Settings settings = parse_settings(content, file.empty() ? kDefaultFile : file,
                                       sources.environment, sources.flags);
    read_api_key_file(settings);
    return settings;
}

Texts environment_texts() {
    Texts texts;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const auto equals = text.find('=');
        if (!text.starts_with(kPrefix) || equals == std::string_view::npos) continue;
        texts.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return texts;
}

}  // namespace shoal::config
