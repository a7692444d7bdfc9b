// Values of keys: reading them from text, judging and showing them.
#include <algorithm>
#include <charconv>
#include <limits>

#include "config/keys.hpp"
#include "config/syntax.hpp"

namespace shoal::config {
namespace {

struct Unit {
    std::string_view name;
    std::int64_t bytes;
};
constexpr Unit kUnits[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1'000},
    {"KB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
    {"KiB", std::int64_t{1} << 10},
    {"MiB", std::int64_t{1} << 20},
    {"GiB", std::int64_t{1} << 30},
    {"TiB", std::int64_t{1} << 40},
};

std::string_view trimmed(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<std::int64_t> parse_integer(std::string_view text) noexcept {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::vector<std::string> split_list(std::string_view text) {
    std::vector<std::string> entries;
    if (trimmed(text).empty()) return entries;
    for (;;) {
        const auto comma = text.find(',');
        entries.emplace_back(trimmed(text.substr(0, comma)));
        if (comma == std::string_view::npos) return entries;
        text.remove_prefix(comma + 1);
    }
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

/// Sizes in the largest unit that divides them: "8 MiB".
std::string bytes_text(std::int64_t bytes) {
    std::size_t best = 0;
    for (std::size_t i = 7; i < std::size(kUnits); ++i) {
        if (bytes != 0 && bytes % kUnits[i].bytes == 0) best = i;
    }
    const std::string number = std::to_string(bytes / kUnits[best].bytes);
    return best == 0 ? number : number + " " + std::string(kUnits[best].name);
}

std::optional<std::string> text_problem(const Key& key, std::string_view text) {
    const auto size = static_cast<std::int64_t>(text.size());
    if (size < key.min) return "must not be empty";
    if (size > key.max) {
        return "is " + std::to_string(size) + " bytes long; at most " + std::to_string(key.max) +
               " are allowed";
    }
    return key.check != nullptr ? key.check(text) : std::nullopt;
}

std::optional<std::string> list_problem(const Key& key, const std::vector<std::string>& entries) {
    const auto size = static_cast<std::int64_t>(entries.size());
    if (size < key.min || size > key.max) {
        return "has " + std::to_string(size) + " entries; allowed: " + allowed(key);
    }
    for (const std::string& entry : entries) {
        if (entry.empty()) return "has an empty entry";
        if (entry.size() > 4096) return "has an entry of more than 4096 bytes";
        if (key.check == nullptr) continue;
        if (auto wrong = key.check(entry)) return wrong;
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_bytes(std::string_view text) noexcept {
    text = trimmed(text);
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_integer(text.substr(0, digits));
    if (!number) return std::nullopt;
    const std::string_view unit = trimmed(text.substr(digits));
    for (const Unit& known : kUnits) {
        if (unit != known.name) continue;
        if (*number > std::numeric_limits<std::int64_t>::max() / known.bytes) return std::nullopt;
        return *number * known.bytes;
    }
    return std::nullopt;
}

std::optional<Value> parse_text(const Key& key, std::string_view text) {
    switch (key.kind) {
        case Kind::boolean:
            if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
            if (text == "false" || text == "0" || text == "no" || text == "off") return false;
            return std::nullopt;
        case Kind::integer:
            if (auto value = parse_integer(trimmed(text))) return *value;
            return std::nullopt;
        case Kind::bytes:
            if (auto value = parse_bytes(text)) return *value;
            return std::nullopt;
        case Kind::text:
        case Kind::path:
        case Kind::choice:
            return std::string(text);
        case Kind::text_list:
        case Kind::path_list:
            return split_list(text);
    }
    return std::nullopt;
}

std::optional<std::string> problem(const Key& key, const Value& value) {
    switch (key.kind) {
        case Kind::boolean:
            return std::nullopt;
        case Kind::integer:
        case Kind::bytes: {
            const auto number = std::get<std::int64_t>(value);
            if (number >= key.min && number <= key.max) return std::nullopt;
            return std::to_string(number) + " is out of range; allowed: " + allowed(key);
        }
        case Kind::choice: {
            const auto& text = std::get<std::string>(value);
            if (std::ranges::find(key.choices, text) != key.choices.end()) return std::nullopt;
            return shown(text) + " is not known; allowed: " + allowed(key);
        }
        case Kind::text:
        case Kind::path:
            return text_problem(key, std::get<std::string>(value));
        case Kind::text_list:
        case Kind::path_list:
            return list_problem(key, std::get<std::vector<std::string>>(value));
    }
    return std::nullopt;
}

std::string allowed(const Key& key) {
    switch (key.kind) {
        case Kind::boolean:
            return "true or false";
        case Kind::integer: {
            std::string range = std::to_string(key.min) + ".." + std::to_string(key.max);
            return key.unit.empty() ? range : range + " (" + std::string(key.unit) + ")";
        }
        case Kind::bytes:
            return bytes_text(key.min) + ".." + bytes_text(key.max) +
                   ", a number of bytes or a size such as \"8GiB\"";
        case Kind::choice: {
            std::string all = "one of ";
            for (const auto& choice : key.choices) {
                if (&choice != key.choices.data()) all += ", ";
                all += choice;
            }
            return all;
        }
        case Kind::text:
        case Kind::path: {
            std::string what = key.kind == Kind::path ? "a path" : "text";
            return what + " of " + (key.min > 0 ? "1" : "0") + ".." + std::to_string(key.max) +
                   " bytes";
        }
        case Kind::text_list:
        case Kind::path_list:
            return std::string("a list of ") + (key.kind == Kind::path_list ? "paths" : "texts") +
                   ", " + std::to_string(key.min) + ".." + std::to_string(key.max) + " entries";
    }
    return {};
}

std::string toml_text(const Key& key, const Value& value) {
    if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
        const std::string digits = std::to_string(*number);
        if (key.kind != Kind::bytes) return digits;
        const std::string size = bytes_text(*number);
        return size == digits ? digits : quoted(size);
    }
    if (const auto* text = std::get_if<std::string>(&value)) return quoted(*text);
    std::string all = "[";
    for (const std::string& entry : std::get<std::vector<std::string>>(value)) {
        if (all.size() > 1) all += ", ";
        all += quoted(entry);
    }
    return all + "]";
}

}  // namespace shoal::config
