#include "config/nearest.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace shoal::config {

std::size_t edits_between(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row[b.size()];
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> known) {
    constexpr std::size_t kLongest = 64;
    if (name.size() > kLongest) return {};
    std::string_view best;
    // A third of the letters may be wrong, and in short names one.
    std::size_t least = std::max<std::size_t>(1, name.size() / 3) + 1;
    for (const std::string_view candidate : known) {
        // What was only begun is as near as one wrong letter.
        const bool begun = name.size() >= 2 && candidate.starts_with(name);
        const std::size_t edits = begun ? 1 : edits_between(name, candidate);
        if (edits >= least) continue;
        least = edits;
        best = candidate;
    }
    return best;
}

}  // namespace shoal::config
