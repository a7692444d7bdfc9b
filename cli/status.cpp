// shoal status: the cluster at a glance.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.hpp"
#include "cli/table.hpp"

namespace shoal::cli {
namespace wire = mesh::wire;
namespace {

/// "0-7"; the last one counts in. Empty ranges say nothing.
std::string range_text(const wire::RangeInfo& range) {
    if (range.end <= range.begin) return "-";
    if (range.end == range.begin + 1) return std::to_string(range.begin);
    return fmt::format("{}-{}", range.begin, range.end - 1);
}

std::string name_of(const wire::StatusReply& status, const std::string& id) {
    for (const auto& device : status.devices) {
        if (device.id == id && !device.name.empty()) return one_line(device.name);
    }
    return one_line(id.substr(0, 8));
}

std::string weights_text(const wire::DeviceInfo& device) {
    if (device.weight_bytes == device.planned_weight_bytes || device.planned_weight_bytes == 0) {
        return device.weight_bytes == 0 ? "" : bytes_text(device.weight_bytes);
    }
    return fmt::format("{} of {}", bytes_text(device.weight_bytes),
                       bytes_text(device.planned_weight_bytes));
}

std::string memory_text(const wire::DeviceInfo& device) {
    if (device.memory_total == 0) return "";
    return fmt::format("{} of {}", bytes_text(device.memory_available),
                       bytes_text(device.memory_total));
}

std::string role_text(const wire::DeviceInfo& device) {
    if (!device.alive) return "";
    if (device.root) return device.rank >= 0 ? fmt::format("root, {}", device.rank) : "root";
    return device.rank >= 0 ? std::to_string(device.rank) : "spare";
}

std::string link_text(const wire::DeviceInfo& device) {
    if (device.self) return "here";
    if (!device.alive) return "";
    return device.round_trip_ms < 0 ? "?" : fmt::format("{:.2f} ms", device.round_trip_ms);
}

Table device_table(const wire::StatusReply& status) {
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
        const auto share = [&](const wire::RangeInfo& range) {
            return works ? range_text(range) : std::string();
        };
        table.rows.push_back(
            {one_line(d.name), role_text(d), d.alive ? one_line(d.state) : "lost",
             one_line(d.address),
             d.threads == 0 ? one_line(d.cpu) : fmt::format("{} x{}", one_line(d.cpu), d.threads),
             share(d.q_heads), share(d.kv_heads), share(d.ffn_columns), share(d.vocab_rows),
             weights_text(d), d.kv_bytes == 0 ? "" : bytes_text(d.kv_bytes), memory_text(d),
             link_text(d)});
    }
    return table;
}

std::string status_text(const wire::StatusReply& status, const Terminal& terminal) {
    std::string text = fmt::format("Cluster  {}, {} device{}", one_line(status.cluster),
                                   status.devices.size(), status.devices.size() == 1 ? "" : "s");
    text += status.root.empty() ? ", electing a root"
                                : fmt::format(", root {}", name_of(status, status.root));
    text += fmt::format(" (term {}, plan {}), version {}\n", status.term, status.plan,
                        one_line(status.version));
    if (status.model.empty()) {
        text += "Model    none loaded; `shoal models` lists what there is\n";
    } else {
        text += fmt::format("Model    {}, context {}, KV cache {}, collectives {}\n",
                            one_line(status.model), status.context, one_line(status.kv_type),
                            one_line(status.collectives));
    }
    text += fmt::format("Work     {} running, {} waiting; {} tokens so far", status.running,
                        status.queued, status.generated_tokens);
    if (status.tokens_per_second > 0) {
        text += fmt::format("; last {:.1f} tokens/s", status.tokens_per_second);
    }
    if (status.prefill_tokens_per_second > 0) {
        text += fmt::format(", prompt {:.0f} tokens/s", status.prefill_tokens_per_second);
    }
    return text + "\n\n" + device_table(status).text(terminal);
}

}  // namespace

int status(const Common& common, const StatusOptions& options) {
    Session session(common);
    for (bool first = true;; first = false) {
        const auto final = session.ask(wire::StatusRequest{});
        if (!final) return session.code();
        if (!common.json) {
            const auto& reply = Session::expect<wire::StatusReply>(*final);
            // The size may have changed since the last time.
            const Terminal terminal = terminal_of(1);
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
