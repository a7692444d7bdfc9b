// shoal plan: what a model would do on devices that a file describes. Needs no daemon.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/exit_codes.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "daemon/planner/report.hpp"
#include "daemon/planner/what_if.hpp"

namespace shoal::cli {
namespace {

planner::ShapedModel model_of(const planner::WhatIf& what_if, const PlanOptions& options) {
    if (!options.model.empty()) {
        model::GgufFile file(options.model);
        model::Hparams hparams = model::read_hparams(file);
        return {model::GgufHeader::of(file.header().tensors(), hparams.name), std::move(hparams)};
    }
    if (!what_if.model) {
        throw Error(kUsage, fmt::format("{} has no [model]; describe one there, or name a GGUF "
                                        "file: shoal plan MODEL --what-if {}",
                                        options.what_if, options.what_if));
    }
    return planner::model_of(*what_if.model);
}

std::string speed(double per_second) {
    return per_second < 9.95 ? fmt::format("{:.2f}", per_second)
                             : fmt::format("{:.1f}", per_second);
}

std::string counts_text(const planner::Report& report, const planner::WhatIf& what_if,
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
        if (!what_if.counts.empty() && !count.chosen &&
            std::ranges::find(what_if.counts, count.devices) == what_if.counts.end()) {
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
            spares +=
                wrapped(terminal, fmt::format("Spare: {}: {}", name, device.reason), 4) + '\n';
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
    return wrapped(terminal, text, 0) + '\n';
}

std::string json(const planner::Report& report) {
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
    for (const planner::DeviceReport& device : report.devices) {
        const shard::Slice& s = device.slice;
        devices.push_back({{"name", device.name},
                           {"takes_part", device.takes_part},
                           {"q_heads", {s.q_heads.begin, s.q_heads.end}},
                           {"kv_heads", {s.kv_heads.begin, s.kv_heads.end}},
                           {"ffn", {s.ffn.begin, s.ffn.end}},
                           {"vocabulary", {s.vocab.begin, s.vocab.end}},
                           {"memory_bytes", device.memory},
                           {"weights", device.part},
                           {"reason", device.reason}});
    }
    const nlohmann::ordered_json out = {{"event", "plan"},
                                        {"positions", report.positions},
                                        {"prompt", report.prompt},
                                        {"counts", std::move(counts)},
                                        {"devices", std::move(devices)}};
    return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace

int plan(const Common& common, const PlanOptions& options) {
    planner::WhatIf what_if;
    planner::Report report;
    std::string name;
    try {
        what_if = planner::read_what_if(
            read_text({std::nullopt, options.what_if}, "description of devices"), options.what_if);
        const planner::ShapedModel model = model_of(what_if, options);
        name = model.hparams.name;
        report = planner::report(model.header, model.hparams, what_if.cluster,
                                 planner::terms_of(what_if, model.hparams), what_if.positions,
                                 what_if.prompt);
    } catch (const planner::WhatIfError& error) {
        throw Error(kUsage, error.what());
    } catch (const model::ModelError& error) {
        throw Error(kUsage, error.what());
    } catch (const shard::PlanError& error) {
        throw Error(kFailed, error.what());
    }
    Output out(-1);
    if (common.json) {
        out.write(json(report));
        return kOk;
    }
    const Terminal terminal = terminal_of(1, common.color);
    out.write(
        fmt::format("{}, context {}; predicted tokens/s\n\n", one_line(name), what_if.context) +
        counts_text(report, what_if, terminal) + '\n' + devices_text(report, terminal) + '\n' +
        why_text(report, terminal));
    return kOk;
}

}  // namespace shoal::cli
