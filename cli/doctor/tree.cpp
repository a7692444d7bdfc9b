#include "cli/doctor/tree.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <system_error>

namespace shoal::cli::doctor {
namespace fs = std::filesystem;

fs::path Tree::at(std::string_view path) const {
    return root_ / fs::path(path).relative_path();
}

bool Tree::exists(std::string_view path) const {
    std::error_code ignored;
    return fs::exists(at(path), ignored);
}

std::optional<std::string> Tree::text(std::string_view path, std::size_t limit) const {
    std::ifstream file(at(path), std::ios::binary);
    std::string text(limit, '\0');
    // Some files of drivers open, and fail when they are read.
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad() || (file.gcount() == 0 && !file.eof())) return std::nullopt;
    text.resize(static_cast<std::size_t>(file.gcount()));
    text.erase(text.find_last_not_of(" \n\t") + 1);
    return text;
}

std::optional<std::uint64_t> Tree::number(std::string_view path) const {
    const auto found = text(path);
    return found ? parse_number(*found) : std::nullopt;
}

std::optional<std::uint64_t> Tree::number_after(std::string_view path,
                                                std::string_view word) const {
    for (const std::string& line : lines(text(path).value_or(""))) {
        const auto parts = words(line);
        if (parts.size() >= 2 && parts[0] == word) return parse_number(parts[1]);
    }
    return std::nullopt;
}

std::vector<std::string> Tree::names(std::string_view folder) const {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(at(folder), error), end; !error && it != end;
         it.increment(error)) {
        names.push_back(it->path().filename());
    }
    std::ranges::sort(names);
    return names;
}

std::vector<std::string> words(std::string_view text) {
    std::istringstream in{std::string(text)};
    std::vector<std::string> out;
    for (std::string word; in >> word;) out.push_back(std::move(word));
    return out;
}

std::vector<std::string> lines(std::string_view text) {
    std::istringstream in{std::string(text)};
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(std::move(line));
    return out;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
    const bool hex = text.starts_with("0x");
    if (hex) text.remove_prefix(2);
    std::uint64_t value = 0;
    const auto end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, hex ? 16 : 10);
    if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
    return value;
}

}  // namespace shoal::cli::doctor
