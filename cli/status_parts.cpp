#include "cli/status_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/table.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;

namespace {

/// As much of a device's id as the log shows.
constexpr std::size_t kIdDigits = 8;

}  // namespace

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

namespace {

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

}  // namespace

std::string memory_text(const messages::DeviceInfo& device) {
    if (device.memory_total == 0) return "";
    return fmt::format("{} of {}", bytes_text(device.memory_available),
                       bytes_text(device.memory_total));
}

std::string link_text(const messages::DeviceInfo& device) {
    if (device.self) return "here";
    if (!device.alive) return "";
    return device.round_trip_ms < 0 ? "?" : fmt::format("{:.2f} ms", device.round_trip_ms);
}

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

std::string memory_line(const messages::StatusReply& status) {
    std::string text;
    for (const auto& m : status.loaded) {
        if (m.at_work) continue;
        text += fmt::format("{}{} ({})", text.empty() ? "Memory   also " : ", ", one_line(m.name),
                            bytes_text(m.weight_bytes));
    }
    return text;
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

}  // namespace shoal::cli
