// The texts made from the table of keys: names, `shoald --help`, config/shoald.toml and its manual
// page.
#include <algorithm>

#include "config/keys.hpp"
#include "config/nearest.hpp"

namespace shoal::config {
namespace {

constexpr std::size_t kColumns = 96;

/// `text` in lines of at most kColumns, each beginning with `prefix`.
std::string wrapped(std::string_view text, std::string_view prefix) {
    std::string out;
    std::string line(prefix);
    bool empty = true;
    while (!text.empty()) {
        const auto space = text.find(' ');
        const std::string_view word = text.substr(0, space);
        text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
        if (!empty && line.size() + 1 + word.size() > kColumns) {
            out += line + '\n';
            line = prefix;
            empty = true;
        }
        if (!empty) line += ' ';
        line += word;
        empty = false;
    }
    return out + line + '\n';
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        if (c == '.') c = '_';
    }
    return out;
}

std::string_view leaf(std::string_view name) {
    const auto dot = name.find('.');
    return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

// What is said of each key after its summary.
std::string takes(const Key& key) {
    return "Takes " + allowed(key) + (is_live(key) ? "; a reload applies it." : ".");
}

/// Text of a manual page: what troff would read as something else is escaped. None of ours begins
/// with a point, which would be a request.
std::string roff(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\') {
            out += "\\e";
        } else if (c == '"') {
            out += "\\(dq";
        } else if (c == '`') {
            out += "\\(ga";
        } else {
            out += c == '-' ? "\\-" : std::string(1, c);
        }
    }
    return out;
}

}  // namespace

std::string environment_name(const Key& key) {
    return "SHOAL_" + upper(key.name);
}

const Key* nearest_key(std::string_view name) {
    constexpr std::size_t kLongest = 64;
    if (name.size() > kLongest) return nullptr;
    const Key* best = nullptr;
    std::size_t least = std::max<std::size_t>(2, leaf(name).size() / 3) + 1;
    for (const Key& key : keys()) {
        // The right key in the wrong section, or in none, is as near as one wrong letter.
        const std::size_t elsewhere = edits_between(leaf(name), leaf(key.name)) + 1;
        const std::size_t edits = std::min(edits_between(name, key.name), elsewhere);
        if (edits < least) {
            least = edits;
            best = &key;
        }
    }
    return best;
}

std::string flag_name(const Key& key) {
    return "--" + std::string(key.name);
}

std::string suggestion(std::string_view name, std::string (*spell)(const Key& key)) {
    const Key* near = nearest_key(name);
    if (near == nullptr) return "; `shoald --help` lists every key";
    return "; did you mean " + spell(*near) + "?";
}

std::string help_text() {
    std::string out =
        "Usage: shoald [--config FILE] [--section.key=value ...]\n"
        "The daemon of Shoal: one device of a cluster that runs a language model together.\n\n"
        "  --config FILE  read settings from this file, not /etc/shoal/shoald.toml; or "
        "SHOAL_CONFIG\n"
        "  --check        only check the settings and the files and folders that they name\n"
        "  --cpu          only show the instruction sets and threads that these settings choose\n"
        "  --json         with --cpu: as JSON\n"
        "  --take-boot-key  only take up a cluster key of the boot partition, if there is one\n"
        "  --version      show the version\n"
        "  --help         show this text\n\n";
    out += wrapped(
        "Every setting is a flag, an environment variable and a key of the file, which is TOML; "
        "the flag goes before the variable, that before the file. A boolean flag without a value "
        "means true; lists are separated by commas.",
        "");
    std::string_view current;
    for (const Key& key : keys()) {
        if (section(key) != current) {
            current = section(key);
            out += "\n[" + std::string(current) + "]\n";
        }
        out += "  --" + std::string(key.name) + '=' + toml_text(key, default_value(key)) + '\n';
        out += wrapped(key.summary, "      ");
        out += wrapped("Takes " + allowed(key) + "; or " + environment_name(key) + '.', "      ");
    }
    return out;
}

std::string example_file() {
    std::string out = wrapped(
        "Settings of shoald, Shoal's daemon. Every key stands here with its default; remove the "
        "'#' before a key to change it. A flag of the same name (--http.port=8091) or an "
        "environment variable (SHOAL_HTTP_PORT=8091) goes before this file, the flag before the "
        "variable. Relative paths start at this file's folder. A reload (systemctl reload shoald, "
        "or SIGHUP) applies the keys of which that is said; the others take a restart.",
        "# ");
    std::string_view current;
    for (const Key& key : keys()) {
        if (section(key) != current) {
            current = section(key);
            out += "\n[" + std::string(current) + "]\n";
        }
        out += '\n' + wrapped(key.summary, "# ");
        out += wrapped(takes(key), "# ");
        out +=
            '#' + std::string(leaf(key.name)) + " = " + toml_text(key, default_value(key)) + '\n';
    }
    return out;
}

std::string manual_page() {
    std::string out =
        ".TH SHOALD.TOML 5 \"\" Shoal \"Settings of Shoal\"\n"
        ".SH NAME\n"
        "shoald.toml \\- settings of shoald, the daemon of Shoal\n"
        ".SH SYNOPSIS\n"
        ".I /etc/shoal/shoald.toml\n"
        ".SH DESCRIPTION\n"
        "The file is TOML: sections in brackets, and below each its keys, as\n"
        ".I key = value\n"
        "with texts in quotes and lists in brackets.\n"
        "Relative paths start at the file's folder.\n"
        "Every key has a default and may be left out.\n"
        "A flag of the same name\n"
        ".RB ( \\-\\-http.port=8091 )\n"
        "or an environment variable\n"
        ".RB ( SHOAL_HTTP_PORT=8091 )\n"
        "goes before the file, the flag before the variable.\n"
        ".PP\n"
        ".B shoald \\-\\-check\n"
        "says what is wrong with a file.\n"
        ".B systemctl reload shoald\n"
        "(SIGHUP) has the daemon read its settings again: it applies those of which that is said\n"
        "below and names others that have changed, which take a restart.\n"
        "A file that cannot be used changes nothing, and the log says why.\n";
    std::string_view current;
    for (const Key& key : keys()) {
        if (section(key) != current) {
            current = section(key);
            out += ".SH [" + std::string(current) + "]\n";
        }
        out += ".TP\n.BR " + roff(leaf(key.name)) +
               " \" = " + roff(toml_text(key, default_value(key))) + "\"\n";
        out += roff(key.summary) + '\n' + roff(takes(key)) + '\n';
    }
    out += ".SH SEE ALSO\n.BR shoald (8),\n.BR shoal (1)\n";
    return out;
}

}  // namespace shoal::config
