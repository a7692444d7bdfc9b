#include "daemon/requests/near_names.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace shoal {
namespace {

constexpr std::size_t kMost = 3;
// Longer names are not compared letter by letter.
constexpr std::size_t kMaxLetters = 128;

std::string lower(std::string_view text) {
    std::string out(text.substr(0, kMaxLetters));
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

// Levenshtein's: letters to insert, delete or replace.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t k = 0; k < b.size(); ++k) {
            const std::size_t replaced = diagonal + (a[i] == b[k] ? 0 : 1);
            diagonal = row[k + 1];
            row[k + 1] = std::min({replaced, row[k] + 1, diagonal + 1});
        }
    }
    return row.back();
}

}  // namespace

std::vector<std::string> near_names(std::string_view wanted,
                                    const std::vector<std::string>& names) {
    const std::string meant = lower(wanted);
    std::vector<std::pair<std::size_t, std::string>> near;
    for (const std::string& name : names) {
        const std::string other = lower(name);
        const bool part = meant.size() > 2 && other.find(meant) != std::string::npos;
        const std::size_t letters = part ? 1 : distance(meant, other);
        if (letters <= std::max<std::size_t>(2, meant.size() / 3) &&
            letters < std::max(meant.size(), other.size())) {
            near.emplace_back(letters, name);
        }
    }
    std::sort(near.begin(), near.end());
    near.erase(std::unique(near.begin(), near.end()), near.end());
    std::vector<std::string> out;
    for (const auto& [letters, name] : near) {
        if (out.size() < kMost) out.push_back(name);
    }
    return out;
}

}  // namespace shoal
