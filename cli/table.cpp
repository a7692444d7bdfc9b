#include "cli/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace shoal::cli {
namespace {

std::string padded(const std::string& text, std::size_t width, bool right) {
    const std::string space(width - std::min(width, display_width(text)), ' ');
    return right ? space + text : text + space;
}

std::string repeated(std::string_view part, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i) out += part;
    return out;
}

/// The pieces of a line: what stands before, between and after the cells.
struct Frame {
    std::string_view left, between, right;
};

}  // namespace

std::string Table::text(const Terminal& terminal) const {
    const bool boxed = terminal.unicode;
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < columns.size(); ++c) {
        widths.push_back(display_width(columns[c].title));
        for (const auto& row : rows) widths[c] = std::max(widths[c], display_width(row[c]));
    }
    std::vector<std::size_t> kept(columns.size());
    std::iota(kept.begin(), kept.end(), std::size_t{0});
    const auto total = [&] {
        std::size_t sum = boxed ? 1 : 0;
        for (const std::size_t c : kept) sum += widths[c] + (boxed ? 3 : 2);
        return sum;
    };
    while (terminal.interactive && kept.size() > 1 && total() > terminal.columns) {
        kept.erase(std::ranges::min_element(kept, {},
                                            [&](std::size_t c) { return columns[c].importance; }));
    }

    std::string out;
    const auto line = [&](const std::vector<std::string>& cells, Frame frame) {
        std::string text(frame.left);
        for (std::size_t i = 0; i < kept.size(); ++i) {
            const std::size_t c = kept[i];
            if (i > 0) text += frame.between;
            text += padded(cells[c], widths[c], columns[c].numeric);
        }
        text += frame.right;
        text.erase(text.find_last_not_of(' ') + 1);
        out += text + '\n';
    };
    std::vector<std::string> titles, rule;
    for (std::size_t c = 0; c < columns.size(); ++c) {
        titles.push_back(styled(terminal, Style::bold, columns[c].title));
        rule.push_back(repeated("─", widths[c]));
    }
    if (!boxed) {
        line(titles, {"", "  ", ""});
        for (const auto& row : rows) line(row, {"", "  ", ""});
        return out;
    }
    line(rule, {"┌─", "─┬─", "─┐"});
    line(titles, {"│ ", " │ ", " │"});
    line(rule, {"├─", "─┼─", "─┤"});
    for (const auto& row : rows) line(row, {"│ ", " │ ", " │"});
    line(rule, {"└─", "─┴─", "─┘"});
    return out;
}

std::string span_text(double least, double most) {
    const std::string from = fmt::format("{:.3g}", least), to = fmt::format("{:.3g}", most);
    return from == to ? from : from + " to " + to;
}

}  // namespace shoal::cli
