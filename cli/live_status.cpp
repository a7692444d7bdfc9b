#include "cli/live_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "cli/status_parts.hpp"
#include "cli/table.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

constexpr std::size_t kLeastBar = 6, kMostBar = 40;
constexpr std::size_t kMostLinks = 8;

/// Bytes of the model that a device computes.
std::uint64_t planned(const messages::DeviceInfo& device) {
    return device.rank < 0 ? 0 : std::max(device.planned_weight_bytes, device.weight_bytes);
}

double loaded_part(const messages::DeviceInfo& device) {
    const auto all = planned(device);
    return all == 0 ? 0 : static_cast<double>(device.weight_bytes) / static_cast<double>(all);
}

std::string role_mark(const messages::DeviceInfo& device) {
    return device.root ? " (root)" : "";
}

/// One row for each device; the bar takes what the other columns leave.
std::string devices_text(const messages::StatusReply& status, const Terminal& terminal) {
    std::uint64_t all = 0;
    for (const auto& d : status.devices) all += planned(d);
    Table table{{{"DEVICE", false, 9},
                 {"STATE", false, 8},
                 {"SHARE", false, 7},
                 {"FREE MEMORY", true, 5},
                 {"LINK", true, 6}},
                {}};
    for (const auto& d : status.devices) {
        table.rows.push_back({name_of(status, d) + role_mark(d), state_text(d, terminal), "",
                              d.alive ? memory_text(d) : "", link_text(d)});
    }
    std::size_t used = table.columns.size() * 3 + 1 + std::string_view(" 100 %").size();
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
        std::size_t width = c == 2 ? 0 : table.columns[c].title.size();
        for (const auto& row : table.rows) width = std::max(width, display_width(row[c]));
        used += width;
    }
    const std::size_t columns =
        std::clamp(terminal.columns - std::min(used, terminal.columns), kLeastBar, kMostBar);
    for (std::size_t i = 0; i < status.devices.size(); ++i) {
        const auto& d = status.devices[i];
        if (all == 0 || planned(d) == 0) continue;
        const double share = static_cast<double>(planned(d)) / static_cast<double>(all);
        table.rows[i][2] =
            fmt::format("{} {:3.0f} %", bar(share, loaded_part(d), columns, terminal), share * 100);
    }
    return table.text(terminal);
}

std::string rate_line(const messages::StatusReply& status, double tokens_per_second) {
    std::string text = fmt::format("Work     {} running, {} waiting; {} tokens so far",
                                   status.running, status.queued, status.generated_tokens);
    if (tokens_per_second > 0) {
        text += fmt::format("; now {:.1f} tokens/s", tokens_per_second);
    } else if (status.tokens_per_second > 0) {
        text += fmt::format("; last {:.1f} tokens/s", status.tokens_per_second);
    }
    if (status.prefill_tokens_per_second > 0) {
        text += fmt::format(", prompt {:.0f} tokens/s", status.prefill_tokens_per_second);
    }
    return text;
}

std::string links_text(const messages::StatusReply& status) {
    std::string text;
    const std::size_t count = std::min(status.links.size(), kMostLinks);
    for (std::size_t i = 0; i < count; ++i) {
        const auto& link = status.links[i];
        text += fmt::format(
            "{:<9}{} - {}: {:.2f} ms, {} MB/s\n", i == 0 ? "Links" : "",
            name_of(status, link.first), name_of(status, link.second), link.exchange_seconds * 1e3,
            span_text(std::min(link.there_bytes_per_second, link.back_bytes_per_second) / 1e6,
                      std::max(link.there_bytes_per_second, link.back_bytes_per_second) / 1e6));
    }
    if (count < status.links.size()) {
        text += fmt::format("         and {} more\n", status.links.size() - count);
    }
    return text;
}

}  // namespace

void TokenRate::look(std::uint64_t generated_tokens, Time now) {
    if (last_ && now > *last_ && generated_tokens >= tokens_) {
        per_second_ = static_cast<double>(generated_tokens - tokens_) /
                      std::chrono::duration<double>(now - *last_).count();
    } else {
        per_second_ = 0;  // another root counts from its own beginning
    }
    last_ = now;
    tokens_ = generated_tokens;
}

std::string bar(double share, double done, std::size_t columns, const Terminal& terminal) {
    const auto cells = [&](double part) {
        const double wished = std::clamp(part, 0.0, 1.0) * static_cast<double>(columns);
        return static_cast<std::size_t>(std::llround(wished));
    };
    // A share is never nothing to see.
    const std::size_t whole = std::max<std::size_t>(cells(share), share > 0 ? 1 : 0);
    const std::size_t solid = std::min(whole, cells(share * std::clamp(done, 0.0, 1.0)));
    const char* full = terminal.unicode ? "█" : "#";
    const char* coming = terminal.unicode ? "▒" : ":";
    const char* rest = terminal.unicode ? "░" : ".";
    std::string out;
    for (std::size_t i = 0; i < columns; ++i) out += i < solid ? full : i < whole ? coming : rest;
    return out;
}

std::vector<std::string> live_lines(const messages::StatusReply& status, double tokens_per_second,
                                    const Terminal& terminal) {
    constexpr std::size_t kIndent = 9;
    std::string text;
    for (const auto& line :
         {cluster_line(status), model_line(status), rate_line(status, tokens_per_second)}) {
        text += wrapped(terminal, line, kIndent) + '\n';
    }
    text += '\n' + devices_text(status, terminal) + links_text(status);
    if (!status.warnings.empty()) text += '\n' + warnings_text(status, terminal);
    text += '\n' + styled(terminal, Style::faint, "q leaves");
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

}  // namespace shoal::cli
