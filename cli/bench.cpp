// shoal bench.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string>
#include <utility>
#include <variant>

#include "cli/commands.hpp"
#include "cli/status_parts.hpp"
#include "cli/table.hpp"

namespace shoal::cli {
namespace messages = mesh::messages;
namespace {

/// Three digits that count: "0.52 G", "31.4 G", "208 G".
std::string rate_text(double per_second, const char* unit) {
    const double g = per_second / 1e9;
    return fmt::format("{:.{}f} {}", g, g < 10 ? 2 : g < 100 ? 1 : 0, unit);
}

std::string products_text(const messages::DeviceProfile& p, const Terminal& terminal) {
    Table table{{{"WEIGHTS", false, 4},
                 {"ONE ROW", true, 3},
                 {"MANY ROWS", true, 2},
                 {"AS IN FILE", true, 1}},
                {}};
    const std::array<std::pair<const char*, const messages::ProductRates*>, 5> families{
        {{"F32", &p.f32},
         {"F16, BF16", &p.f16},
         {"Q8_0", &p.q8},
         {"Q4_0 to Q5_1, IQ4_NL", &p.q4},
         {"Q2_K to Q6_K, IQ4_XS", &p.k}}};
    for (const auto& family : families) {
        const messages::ProductRates& r = *family.second;
        table.rows.push_back({family.first, rate_text(r.one_row, "GB/s"),
                              rate_text(r.many_rows, "G/s"), rate_text(r.in_file, "G/s")});
    }
    return table.text(terminal);
}

std::string origin_text(const messages::BenchReply& reply) {
    switch (reply.origin) {
        case messages::ProfileOrigin::guessed:
            return "Guessed from its speed with Q8_0; `shoal bench` measures this device.\n";
        case messages::ProfileOrigin::given:
            return "Guessed from device.speed_bytes; while that is set, nothing is measured.\n";
        case messages::ProfileOrigin::measured:
            break;
    }
    std::string text =
        fmt::format("Measured  {}, by version {}\n", one_line(reply.date), one_line(reply.version));
    text += fmt::format("Device    {}\n",
                        reply.cpu.empty() ? "of a CPU that is not named" : one_line(reply.cpu));
    text += fmt::format("Threads   {} with {}, on CPU{} {}\n", reply.threads, one_line(reply.isa),
                        reply.cpus.size() == 1 ? "" : "s", fmt::join(reply.cpus, " "));
    return text + fmt::format("Memory    {}\n", bytes_text(reply.memory_total));
}

std::string bench_text(const messages::BenchReply& reply, const Terminal& terminal) {
    const messages::DeviceProfile& p = reply.profile;
    std::string text = origin_text(reply) + '\n' + products_text(p, terminal);
    text += fmt::format("\nAttention  one row {}, many rows {} (elements of K)\n",
                        rate_text(p.attend_one, "G/s"), rate_text(p.attend_many, "G/s"));
    text += fmt::format("Between    {} elements, and {:.1f} us a layer\n",
                        rate_text(p.elements, "G/s"), p.layer_seconds * 1e6);
    if (!reply.not_stored.empty()) {
        text += fmt::format("\nIt is lost when the daemon ends: {}\n", one_line(reply.not_stored));
    }
    return text;
}

/// Of the cluster, as its root measured them while nothing ran; empty where nothing was.
std::string links_text(const messages::StatusReply& status, const Terminal& terminal) {
    if (status.links.empty()) return "";
    Table table{{{"LINK", false, 4},
                 {"EXCHANGE", true, 3},
                 {"THERE", true, 2},
                 {"BACK", true, 2},
                 {"MEASURED", false, 1}},
                {}};
    for (const messages::MeasuredLink& link : status.links) {
        const auto speed = [](double bytes) { return fmt::format("{:.1f} MB/s", bytes / 1e6); };
        table.rows.push_back({name_of(status, link.first) + " - " + name_of(status, link.second),
                              fmt::format("{:.2f} ms", link.exchange_seconds * 1e3),
                              speed(link.there_bytes_per_second), speed(link.back_bytes_per_second),
                              one_line(link.date)});
    }
    return '\n' + table.text(terminal);
}

}  // namespace

int bench(const Common& common, const BenchOptions& options) {
    Session session(common);
    const auto final = session.ask(messages::BenchRequest{options.show});
    if (!final || common.json) return session.code();
    std::string text =
        bench_text(Session::expect<messages::BenchReply>(*final), session.terminal());
    // Without a root, what is known of this device is told all the same.
    if (const auto status = session.inquire(messages::StatusRequest{})) {
        const auto* reply = std::get_if<messages::StatusReply>(&*status);
        if (reply != nullptr) text += links_text(*reply, session.terminal());
    }
    session.output().write(text);
    return session.code();
}

}  // namespace shoal::cli
