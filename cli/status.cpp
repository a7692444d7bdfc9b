// shoal status: the cluster at a glance.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <optional>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/live_screen.hpp"
#include "cli/live_status.hpp"
#include "cli/status_parts.hpp"
#include "cli/table.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

/// "0-7"; the last one counts in. Empty ranges say nothing.
std::string range_text(const messages::Range& range) {
    if (range.end <= range.begin) return "-";
    if (range.end == range.begin + 1) return std::to_string(range.begin);
    return fmt::format("{}-{}", range.begin, range.end - 1);
}

std::string weights_text(const messages::DeviceInfo& device) {
    if (device.weight_bytes == device.planned_weight_bytes || device.planned_weight_bytes == 0) {
        return device.weight_bytes == 0 ? "" : bytes_text(device.weight_bytes);
    }
    return fmt::format("{} of {}", bytes_text(device.weight_bytes),
                       bytes_text(device.planned_weight_bytes));
}

std::string role_text(const messages::DeviceInfo& device) {
    if (!device.alive) return "";
    if (device.root) return device.rank >= 0 ? fmt::format("root, {}", device.rank) : "root";
    return device.rank >= 0 ? std::to_string(device.rank) : "spare";
}

Table device_table(const messages::StatusReply& status, const Terminal& terminal) {
    Table table{{{"DEVICE", false, 20},
                 {"RANK", false, 19},
                 {"STATE", false, 18},
                 {"ADDRESS", false, 5},
                 {"CPU", false, 6},
                 {"HEADS", true, 17},
                 {"KV", true, 8},
                 {"FFN COLUMNS", true, 16},
                 {"VOCABULARY", true, 4},
                 {"WEIGHTS", true, 12},
                 {"KV CACHE", true, 9},
                 {"FREE MEMORY", true, 14},
                 {"LINK", true, 15}},
                {}};
    for (const auto& d : status.devices) {
        const bool works = d.rank >= 0;
        const auto share = [&](const messages::Range& range) {
            return works ? range_text(range) : std::string();
        };
        table.rows.push_back(
            {name_of(status, d), role_text(d), state_text(d, terminal), one_line(d.address),
             d.threads == 0 ? one_line(d.cpu) : fmt::format("{} x{}", one_line(d.cpu), d.threads),
             share(d.slice.q_heads), share(d.slice.kv_heads), share(d.slice.ffn),
             share(d.slice.vocab), weights_text(d), d.kv_bytes == 0 ? "" : bytes_text(d.kv_bytes),
             memory_text(d), link_text(d)});
    }
    return table;
}

std::string status_text(const messages::StatusReply& status, const Terminal& terminal) {
    constexpr std::size_t kIndent = 9;  // behind "Cluster  "
    std::string text;
    for (const auto& line : {cluster_line(status), model_line(status), memory_line(status),
                             work_line(status), links_line(status)}) {
        if (!line.empty()) text += wrapped(terminal, line, kIndent) + '\n';
    }
    text += '\n' + device_table(status, terminal).text(terminal);
    if (!status.warnings.empty()) text += '\n';
    return text + warnings_text(status, terminal);
}

std::chrono::milliseconds pause_of(const StatusOptions& options) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::duration<double>(*options.watch_seconds));
}

/// On a terminal, until the user has seen enough. Why it ended otherwise.
std::optional<messages::Failed> watch_screen(Session& session, const Common& common,
                                             const StatusOptions& options) {
    LiveScreen screen;
    TokenRate rate;
    for (;;) {
        const auto final = session.inquire(messages::StatusRequest{});
        if (!final) return std::nullopt;
        if (const auto* failed = std::get_if<messages::Failed>(&*final)) return *failed;
        const auto& reply = Session::expect<messages::StatusReply>(*final);
        rate.look(reply.generated_tokens, std::chrono::steady_clock::now());
        LiveScreen::Woken woken{};
        do {
            const auto size = screen.size();
            Terminal terminal = terminal_of(STDOUT_FILENO, common.color);
            terminal.columns = size.columns;
            session.output().write(
                LiveScreen::frame(live_lines(reply, rate.per_second(), terminal), size));
            woken = screen.wait(pause_of(options), session.signals());
        } while (woken == LiveScreen::Woken::resized);
        if (woken == LiveScreen::Woken::key_to_leave) return std::nullopt;
        if (session.interrupted_within(std::chrono::milliseconds(0))) return std::nullopt;
    }
}

int watch(Session& session, const Common& common, const StatusOptions& options) {
    // Told when the screen is the user's again.
    if (const auto failed = watch_screen(session, common, options)) session.tell(*failed);
    return session.code();
}

}  // namespace

int status(const Common& common, const StatusOptions& options) {
    Session session(common);
    if (options.watch_seconds && session.terminal().interactive && !common.json) {
        return watch(session, common, options);
    }
    for (bool first = true;; first = false) {
        const auto final = session.ask(messages::StatusRequest{});
        if (!final) return session.code();
        if (!common.json) {
            const auto& reply = Session::expect<messages::StatusReply>(*final);
            session.output().write(first ? "" : "\n");
            session.output().write(status_text(reply, session.terminal()));
        }
        if (!options.watch_seconds) return session.code();
        if (session.interrupted_within(pause_of(options))) return session.code();
    }
}

}  // namespace shoal::cli
