// shoal status: the cluster at a glance.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/commands.hpp"
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

/// As much of a device's id as the log shows.
constexpr std::size_t kIdDigits = 8;

/// A device's name, with its id where another has the same name, as two cards written from one
/// image have.
std::string name_of(const messages::StatusReply& status, const messages::DeviceInfo& device) {
    const std::string id = one_line(device.id.substr(0, kIdDigits));
    if (device.name.empty()) return id;
    const auto namesakes =
        std::ranges::count(status.devices, device.name, &messages::DeviceInfo::name);
    return namesakes == 1 ? one_line(device.name)
                          : fmt::format("{} ({})", one_line(device.name), id);
}

std::string name_of(const messages::StatusReply& status, const std::string& id) {
    const auto found = std::ranges::find(status.devices, id, &messages::DeviceInfo::id);
    return found != status.devices.end() ? name_of(status, *found)
                                         : one_line(id.substr(0, kIdDigits));
}

std::string state_text(const messages::DeviceInfo& device, const Terminal& terminal) {
    if (!device.alive) {
        // "lost 12 s ago"
        const bool told = device.state.starts_with("lost");
        return styled(terminal, Style::bad, told ? one_line(device.state) : "lost");
    }
    const Style style = device.state == "ready" ? Style::good : Style::plain;
    return styled(terminal, style, one_line(device.state));
}

std::string weights_text(const messages::DeviceInfo& device) {
    if (device.weight_bytes == device.planned_weight_bytes || device.planned_weight_bytes == 0) {
        return device.weight_bytes == 0 ? "" : bytes_text(device.weight_bytes);
    }
    return fmt::format("{} of {}", bytes_text(device.weight_bytes),
                       bytes_text(device.planned_weight_bytes));
}

std::string memory_text(const messages::DeviceInfo& device) {
    if (device.memory_total == 0) return "";
    return fmt::format("{} of {}", bytes_text(device.memory_available),
                       bytes_text(device.memory_total));
}

std::string role_text(const messages::DeviceInfo& device) {
    if (!device.alive) return "";
    if (device.root) return device.rank >= 0 ? fmt::format("root, {}", device.rank) : "root";
    return device.rank >= 0 ? std::to_string(device.rank) : "spare";
}

std::string link_text(const messages::DeviceInfo& device) {
    if (device.self) return "here";
    if (!device.alive) return "";
    return device.round_trip_ms < 0 ? "?" : fmt::format("{:.2f} ms", device.round_trip_ms);
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

Style style_of(messages::Severity severity) noexcept {
    switch (severity) {
        case messages::Severity::notice:
            return Style::bold;
        case messages::Severity::warning:
            return Style::warning;
        case messages::Severity::error:
            break;
    }
    return Style::bad;
}

/// Each on lines of its own, and what to do on the next.
std::string warnings_text(const messages::StatusReply& status, const Terminal& terminal) {
    constexpr std::size_t kIndent = 4;
    std::string out;
    for (const auto& w : status.warnings) {
        std::string text = styled(terminal, style_of(w.severity), name(w.severity)) + ": ";
        if (!w.device.empty()) text += fmt::format("{}: ", name_of(status, w.device));
        out += wrapped(terminal, text + one_line(w.text), kIndent) + '\n';
        if (w.remedy.empty()) continue;
        const std::string space(kIndent, ' ');
        Terminal rest = terminal;
        rest.columns -= std::min(kIndent, rest.columns);
        std::string remedy = wrapped(rest, one_line(w.remedy), 0);
        for (std::size_t at = 0; (at = remedy.find('\n', at)) != std::string::npos;) {
            remedy.insert(++at, space);
        }
        out += space + remedy + '\n';
    }
    return out;
}

std::string cluster_line(const messages::StatusReply& status) {
    const auto lost = std::ranges::count(status.devices, false, &messages::DeviceInfo::alive);
    const auto alive = status.devices.size() - static_cast<std::size_t>(lost);
    std::string text = fmt::format("Cluster  {}, {} device{}", one_line(status.cluster), alive,
                                   alive == 1 ? "" : "s");
    if (lost > 0) text += fmt::format(" and {} lost", lost);
    text += status.root.empty() ? ", electing a root"
                                : fmt::format(", root {}", name_of(status, status.root));
    return text + fmt::format(" (term {}, plan {}), version {}", status.term, status.plan,
                              one_line(status.version));
}

std::string model_line(const messages::StatusReply& status) {
    if (!status.model.empty()) {
        return fmt::format("Model    {}, context {}, KV cache {}, collectives {}",
                           one_line(status.model), status.context, one_line(status.kv_type),
                           one_line(status.collectives));
    }
    return status.reading_models ? "Model    none loaded; folders are still being read for models"
                                 : "Model    none loaded; `shoal models` lists what there is";
}

std::string work_line(const messages::StatusReply& status) {
    std::string text = fmt::format("Work     {} running, {} waiting; {} tokens so far",
                                   status.running, status.queued, status.generated_tokens);
    if (status.tokens_per_second > 0) {
        text += fmt::format("; last {:.1f} tokens/s", status.tokens_per_second);
    }
    if (status.prefill_tokens_per_second > 0) {
        text += fmt::format(", prompt {:.0f} tokens/s", status.prefill_tokens_per_second);
    }
    return text;
}

/// What the links were measured to do, all together; nothing while none was.
std::string links_line(const messages::StatusReply& status) {
    if (status.links.empty()) return "";
    double least_wait = HUGE_VAL, most_wait = 0, least_speed = HUGE_VAL, most_speed = 0;
    for (const auto& link : status.links) {
        least_wait = std::min(least_wait, link.exchange_seconds);
        most_wait = std::max(most_wait, link.exchange_seconds);
        for (const double speed : {link.there_bytes_per_second, link.back_bytes_per_second}) {
            least_speed = std::min(least_speed, speed);
            most_speed = std::max(most_speed, speed);
        }
    }
    const auto alive =
        status.devices.size() - static_cast<std::size_t>(std::ranges::count(
                                    status.devices, false, &messages::DeviceInfo::alive));
    return fmt::format("Links    {} of {} measured: an exchange takes {} ms, {} MB/s each way",
                       status.links.size(), alive * (alive - 1) / 2,
                       span_text(least_wait * 1e3, most_wait * 1e3),
                       span_text(least_speed / 1e6, most_speed / 1e6));
}

std::string status_text(const messages::StatusReply& status, const Terminal& terminal) {
    constexpr std::size_t kIndent = 9;  // behind "Cluster  "
    std::string text;
    for (const auto& line :
         {cluster_line(status), model_line(status), work_line(status), links_line(status)}) {
        if (!line.empty()) text += wrapped(terminal, line, kIndent) + '\n';
    }
    text += '\n' + device_table(status, terminal).text(terminal);
    if (!status.warnings.empty()) text += '\n';
    return text + warnings_text(status, terminal);
}

}  // namespace

int status(const Common& common, const StatusOptions& options) {
    Session session(common);
    for (bool first = true;; first = false) {
        const auto final = session.ask(messages::StatusRequest{});
        if (!final) return session.code();
        if (!common.json) {
            const auto& reply = Session::expect<messages::StatusReply>(*final);
            // The size may have changed since the last time.
            const Terminal terminal = terminal_of(1, common.color);
            const bool clear = options.watch_seconds && terminal.interactive;
            session.output().write(clear ? "\x1b[H\x1b[2J" : first ? "" : "\n");
            session.output().write(status_text(reply, terminal));
        }
        if (!options.watch_seconds) return session.code();
        const auto pause = std::chrono::duration<double>(*options.watch_seconds);
        if (session.interrupted_within(
                std::chrono::duration_cast<std::chrono::milliseconds>(pause))) {
            return session.code();
        }
    }
}

}  // namespace shoal::cli
