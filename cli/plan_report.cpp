#include "cli/plan_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/table.hpp"

namespace shoal::cli {
namespace {

std::string speed(double per_second) {
    return per_second < 9.95 ? fmt::format("{:.2f}", per_second)
                             : fmt::format("{:.1f}", per_second);
}

std::string counts_text(const planner::Report& report, const std::vector<std::uint32_t>& counts,
                        const Terminal& terminal) {
    Table table{{{"DEVICES", true, 20}}, {}};
    for (const double at : report.positions) {
        table.columns.push_back({fmt::format("DECODE AT {:.0f}", at), true, 19});
    }
    table.columns.push_back({fmt::format("PREFILL OF {}", report.prompt), true, 18});
    table.columns.push_back({"EXCHANGE", true, 12});
    table.columns.push_back({"MEMORY", true, 14});
    table.columns.push_back({"K, V TWICE", true, 8});
    table.columns.push_back({"", false, 17});
    for (const planner::CountReport& count : report.counts) {
        if (!counts.empty() && !count.chosen && count.devices != report.shown &&
            std::ranges::find(counts, count.devices) == counts.end()) {
            continue;
        }
        auto& row = table.rows.emplace_back();
        row.push_back(std::to_string(count.devices));
        if (!count.fits) {
            row.resize(table.columns.size());
            row.back() = "does not fit";
            continue;
        }
        for (const double decode : count.decode) row.push_back(speed(decode));
        row.push_back(speed(count.prefill));
        row.push_back(fmt::format("{:.0f} %", count.exchange * 100));
        row.push_back(bytes_text(count.memory));
        row.push_back(fmt::format("{:.0f}", count.redundant_kv_outputs));
        row.push_back(count.chosen ? "chosen" : "");
    }
    return table.text(terminal);
}

std::string devices_text(const planner::Report& report, const Terminal& terminal) {
    Table table{{{"DEVICE", false, 20},
                 {"WEIGHTS", true, 19},
                 {"HEADS", true, 18},
                 {"KV", true, 15},
                 {"FFN COLUMNS", true, 17},
                 {"VOCABULARY", true, 16},
                 {"MEMORY", true, 14}},
                {}};
    // Devices that are alike and stand together have one line.
    std::string spares;
    for (std::size_t i = 0; i < report.devices.size();) {
        const planner::DeviceReport& device = report.devices[i];
        const auto alike = [&](const planner::DeviceReport& other) {
            return other.name == device.name && other.reason == device.reason &&
                   other.memory == device.memory &&
                   other.slice.q_heads.size() == device.slice.q_heads.size() &&
                   other.slice.kv_heads.size() == device.slice.kv_heads.size() &&
                   other.slice.ffn.size() == device.slice.ffn.size() &&
                   other.slice.vocab.size() == device.slice.vocab.size();
        };
        std::size_t count = 1;
        while (i + count < report.devices.size() && alike(report.devices[i + count])) ++count;
        i += count;
        const std::string name =
            one_line(device.name) + (count > 1 ? fmt::format(" ({})", count) : "");
        if (!device.takes_part) {
            spares += wrapped(terminal,
                              fmt::format("{}: {}: {}", device.spare ? "Spare" : "Left out", name,
                                          one_line(device.reason)),
                              4) +
                      '\n';
            continue;
        }
        table.rows.push_back(
            {name, fmt::format("{:.1f} %", device.part * 100),
             std::to_string(device.slice.q_heads.size()),
             std::to_string(device.slice.kv_heads.size()), std::to_string(device.slice.ffn.size()),
             std::to_string(device.slice.vocab.size()), bytes_text(device.memory)});
    }
    return table.text(terminal) + spares;
}

std::string sharing_text(const planner::Report& report, const Terminal& terminal) {
    if (!report.sharing) return "";
    double all = 0;
    for (const std::uint32_t share : report.sharing->shares) all += share;
    std::string text =
        fmt::format("Prompts of {} tokens and more are shared out by tokens, through whole layers:",
                    report.sharing->from);
    std::vector<std::string> takes;
    std::size_t rank = 0;
    for (const planner::DeviceReport& device : report.devices) {
        if (!device.takes_part) continue;
        const std::size_t r = rank++;
        if (report.sharing->shares[r] == 0) continue;
        takes.push_back(
            fmt::format("{:.0f} % and {} more memory on {}", report.sharing->shares[r] / all * 100,
                        bytes_text(report.sharing->whole_bytes[r]), one_line(device.name)));
    }
    // Devices that are alike are said once.
    for (std::size_t i = 0; i < takes.size();) {
        std::size_t alike = 1;
        while (i + alike < takes.size() && takes[i + alike] == takes[i]) ++alike;
        text += ' ' + takes[i] + (alike > 1 ? fmt::format(" ({})", alike) : "") + ',';
        i += alike;
    }
    text.back() = '.';
    return wrapped(terminal, text, 0) + '\n';
}

std::string why_text(const planner::Report& report, const Terminal& terminal) {
    const planner::Seconds& t = report.token;
    std::string text = fmt::format(
        "A token takes {:.2f} ms: attention {:.2f}, FFN {:.2f}, LM head {:.2f}, what every device "
        "does {:.2f}, exchanges {:.2f}.",
        t.sum() * 1e3, t.attention * 1e3, t.ffn * 1e3, t.lm_head * 1e3, t.between * 1e3,
        t.exchange * 1e3);
    if (report.sharing_kv > 0) {
        text += fmt::format(
            " Computing shared K and V once and exchanging them would take {:.2f} "
            "ms longer.",
            report.sharing_kv * 1e3);
    } else if (report.sharing_kv < 0) {
        text += fmt::format(
            " Computing shared K and V once and exchanging them would save {:.2f} "
            "ms, which is not built.",
            -report.sharing_kv * 1e3);
    }
    if (report.overlap) {
        text += " Large steps compute in two halves, each while what the other sends is under way.";
    }
    return wrapped(terminal, text, 0) + '\n' + sharing_text(report, terminal);
}

/// How the chosen number of devices came to be that.
std::string choice_text(const planner::Report& report, const Terminal& terminal) {
    const planner::CountReport* chosen = nullptr;
    const planner::CountReport* fewer = nullptr;
    const planner::CountReport* more = nullptr;
    for (const planner::CountReport& count : report.counts) {
        if (count.chosen) chosen = &count;
    }
    if (chosen == nullptr) return "";
    for (const planner::CountReport& count : report.counts) {
        if (!count.fits || count.chosen) continue;
        const planner::CountReport*& best = count.devices < chosen->devices ? fewer : more;
        if (best == nullptr || count.seconds < best->seconds) best = &count;
    }
    const auto devices = [](std::size_t n) {
        return n == 1 ? std::string("1 device") : fmt::format("{} devices", n);
    };
    std::string text =
        fmt::format("{} chosen: a prompt of {} tokens and an answer of {} take {:.3g} s",
                    devices(chosen->devices) + (chosen->devices == 1 ? " is" : " are"),
                    report.request.prompt, report.request.answer, chosen->seconds);
    if (fewer != nullptr) {
        text += fmt::format(", with {} {:.3g} s", fewer->devices, fewer->seconds);
    } else if (chosen->devices > 1) {
        text += ", and fewer cannot hold the model";
    }
    if (more != nullptr) {
        text += fmt::format("; with {} {:.3g} s, and more must save {:.0f} %", more->devices,
                            more->seconds, (planner::Chooser::kWorth - 1) * 100);
    }
    if (report.min_devices > 1) {
        text += fmt::format("; plan.min_devices is {}", report.min_devices);
    }
    return wrapped(terminal, text + '.', 0) + '\n';
}

/// Which links the plans are made by.
std::string links_text(const planner::Report& report, const Terminal& terminal) {
    const planner::LinksReport& links = report.links;
    if (links.pairs == 0) return "";
    std::string text = fmt::format(
        "Links: a small exchange takes {} ms, and {} MB/s go each way",
        span_text(links.best.exchange_seconds * 1e3, links.worst.exchange_seconds * 1e3),
        span_text(links.worst.bytes_per_second / 1e6, links.best.bytes_per_second / 1e6));
    if (links.measured == links.pairs) {
        text += fmt::format("; all {} are measured", links.pairs);
    } else if (links.measured > 0) {
        text += fmt::format("; {} of {} are measured, and the others taken for the middle of these",
                            links.measured, links.pairs);
    } else {
        text += "; none is measured";
    }
    return wrapped(terminal, text + '.', 0) + '\n';
}

/// What becomes of models that are in the devices' memory.
std::string others_text(const planner::Report& report, const Terminal& terminal) {
    const auto line = [&](const char* what, const std::vector<std::string>& models) {
        if (models.empty()) return std::string();
        std::string text = what;
        for (const std::string& model : models) {
            text += (&model == models.data() ? ": " : ", ") + one_line(model);
        }
        return wrapped(terminal, text + '.', 0) + '\n';
    };
    return line("Beside it stay in memory", report.beside) +
           line("Make room for it", report.leaving);
}

nlohmann::ordered_json link_json(const planner::Link& link) {
    return {{"exchange_us", link.exchange_seconds * 1e6},
            {"bytes_per_second", link.bytes_per_second}};
}

shard::Range range_of(const mesh::messages::Range& range) {
    return {range.begin, range.end};
}

}  // namespace

std::string plan_text(const planner::Report& report, const std::vector<std::uint32_t>& counts,
                      const Terminal& terminal) {
    std::string text = fmt::format("{}, context {}; predicted tokens/s\n\n", one_line(report.model),
                                   report.context) +
                       counts_text(report, counts, terminal) + '\n' +
                       choice_text(report, terminal) + others_text(report, terminal) +
                       links_text(report, terminal) + '\n';
    const auto chosen = std::ranges::find(report.counts, true, &planner::CountReport::chosen);
    if (chosen == report.counts.end() || chosen->devices != report.shown) {
        text += fmt::format("With {} device{}:\n", report.shown, report.shown == 1 ? "" : "s");
    }
    return text + devices_text(report, terminal) + '\n' + why_text(report, terminal);
}

std::string plan_json(const planner::Report& report) {
    nlohmann::ordered_json counts = nlohmann::ordered_json::array();
    for (const planner::CountReport& count : report.counts) {
        counts.push_back({{"devices", count.devices},
                          {"fits", count.fits},
                          {"chosen", count.chosen},
                          {"decode_tokens_per_second", count.decode},
                          {"prefill_tokens_per_second", count.prefill},
                          {"exchange", count.exchange},
                          {"memory_bytes", count.memory},
                          {"redundant_kv_outputs", count.redundant_kv_outputs},
                          {"request_seconds", count.seconds}});
    }
    nlohmann::ordered_json devices = nlohmann::ordered_json::array();
    std::size_t rank = 0;
    for (const planner::DeviceReport& device : report.devices) {
        const shard::Slice& s = device.slice;
        const bool shares_rows = report.sharing && device.takes_part;
        devices.push_back({{"name", device.name},
                           {"takes_part", device.takes_part},
                           {"spare", device.spare},
                           {"q_heads", {s.q_heads.begin, s.q_heads.end}},
                           {"kv_heads", {s.kv_heads.begin, s.kv_heads.end}},
                           {"ffn", {s.ffn.begin, s.ffn.end}},
                           {"vocabulary", {s.vocab.begin, s.vocab.end}},
                           {"memory_bytes", device.memory},
                           {"weights", device.part},
                           {"row_share", shares_rows ? report.sharing->shares[rank] : 0},
                           {"reason", device.reason}});
        if (device.takes_part) ++rank;
    }
    const planner::Seconds& t = report.token;
    const nlohmann::ordered_json out = {
        {"event", "plan"},
        {"model", report.model},
        {"context", report.context},
        {"positions", report.positions},
        {"prompt", report.prompt},
        {"request", {{"prompt", report.request.prompt}, {"answer", report.request.answer}}},
        {"min_devices", report.min_devices},
        {"links",
         {{"pairs", report.links.pairs},
          {"measured", report.links.measured},
          {"usual", link_json(report.links.usual)},
          {"best", link_json(report.links.best)},
          {"worst", link_json(report.links.worst)}}},
        {"counts", std::move(counts)},
        {"shown", report.shown},
        {"token_seconds",
         {{"attention", t.attention},
          {"ffn", t.ffn},
          {"lm_head", t.lm_head},
          {"between", t.between},
          {"exchange", t.exchange}}},
        {"rows_shared_from", report.sharing ? report.sharing->from : 0},
        {"overlap", report.overlap},
        {"sharing_kv_seconds", report.sharing_kv},
        {"beside", report.beside},
        {"leaving", report.leaving},
        {"devices", std::move(devices)}};
    return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

planner::Report report_of(const mesh::messages::PlanReply& reply) {
    planner::Report report;
    report.model = reply.model;
    report.context = reply.context;
    report.positions = reply.positions;
    report.prompt = reply.prompt;
    report.request.prompt = reply.request_prompt;
    report.request.answer = reply.request_answer;
    report.min_devices = reply.min_devices;
    for (const mesh::messages::PlanCount& c : reply.counts) {
        planner::CountReport& count = report.counts.emplace_back();
        count.devices = c.devices;
        count.fits = c.fits;
        count.chosen = c.chosen;
        count.decode = c.decode;
        count.decode.resize(reply.positions.size());
        count.prefill = c.prefill;
        count.exchange = c.exchange;
        count.memory = c.memory_bytes;
        count.redundant_kv_outputs = c.redundant_kv_outputs;
        count.seconds = c.seconds;
    }
    report.shown = reply.shown;
    for (const mesh::messages::PlannedDevice& d : reply.devices) {
        planner::DeviceReport& device = report.devices.emplace_back();
        device.name = d.name;
        device.takes_part = d.takes_part;
        device.spare = d.spare;
        device.slice = {range_of(d.slice.q_heads), range_of(d.slice.kv_heads),
                        range_of(d.slice.ffn), range_of(d.slice.vocab)};
        device.memory = d.memory_bytes;
        device.part = d.part;
        device.reason = d.reason;
    }
    if (reply.sharing_from != 0) {
        planner::RowSharing& sharing = report.sharing.emplace();
        sharing.from = reply.sharing_from;
        for (const mesh::messages::PlannedDevice& d : reply.devices) {
            if (!d.takes_part) continue;
            sharing.shares.push_back(d.row_share);
            sharing.whole_bytes.push_back(d.whole_bytes);
        }
    }
    report.overlap = reply.overlap;
    const mesh::messages::PlanSeconds& t = reply.token;
    report.token.attention = t.attention;
    report.token.ffn = t.ffn;
    report.token.lm_head = t.lm_head;
    report.token.between = t.between;
    report.token.exchange = t.exchange;
    report.sharing_kv = reply.sharing_kv;
    report.beside = reply.beside;
    report.leaving = reply.leaving;
    const auto link = [](const mesh::messages::PlannedLink& l) {
        return planner::Link{l.exchange_seconds, l.bytes_per_second};
    };
    const mesh::messages::PlannedLinks& links = reply.links;
    report.links = {links.pairs, links.measured, link(links.usual), link(links.best),
                    link(links.worst)};
    return report;
}

}  // namespace shoal::cli
