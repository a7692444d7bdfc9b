#include "cli/live_status.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "cli/live_screen.hpp"

namespace live_status_test {

using namespace shoal::cli;
using namespace std::chrono_literals;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/live_status");

namespace {

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

Terminal terminal(std::size_t columns, bool unicode = true, bool color = false) {
    return {true, unicode, color, columns};
}

messages::DeviceInfo device(const std::string& name, std::int32_t rank, std::uint64_t planned) {
    messages::DeviceInfo d;
    d.id = name + "0123456789abcdef";
    d.name = name;
    d.rank = rank;
    d.weight_bytes = d.planned_weight_bytes = planned;
    d.memory_total = std::uint64_t{8} << 30;
    d.memory_available = std::uint64_t{5} << 30;
    d.state = "ready";
    d.round_trip_ms = 0.31;
    return d;
}

messages::StatusReply loading() {
    messages::StatusReply status;
    status.version = "0.1.0";
    status.cluster = "3f2a-91c0-77de";
    status.model = "story";
    status.devices = {device("kitchen", 0, 600), device("attic", 1, 400), device("shed", -1, 0)};
    status.devices[0].root = status.devices[0].self = true;
    status.devices[1].weight_bytes = 100;
    status.devices[1].state = "loading 25 %";
    status.devices[2].alive = false;
    status.devices[2].state = "lost 12 s ago";
    status.root = status.self = status.devices[0].id;
    status.links = {
        {status.devices[0].id, status.devices[1].id, 230e-6, 110e6, 11e6, "", "", "", "", ""}};
    status.warnings = {{"slow", messages::Severity::warning, status.devices[1].id,
                        "it computes 4 times slower than it measured, and gets a smaller share",
                        "look for other work on it, heat or a weak power supply"}};
    return status;
}

std::string joined(const std::vector<std::string>& lines) {
    return std::accumulate(lines.begin(), lines.end(), std::string(),
                           [](std::string all, const auto& line) { return all + line + '\n'; });
}

}  // namespace

TEST_CASE("a bar shows a share, and of it what is loaded") {
    CHECK(bar(0.5, 1, 8, terminal(80)) == "████░░░░");
    CHECK(bar(0.5, 0.5, 8, terminal(80)) == "██▒▒░░░░");
    CHECK(bar(1, 0, 4, terminal(80, false)) == "::::");
    CHECK(bar(0.25, 1, 4, terminal(80, false)) == "#...");
    CHECK(bar(0.001, 0, 4, terminal(80, false)) == ":...");
    CHECK(bar(0, 1, 4, terminal(80, false)) == "....");
    CHECK(bar(7, 7, 4, terminal(80, false)) == "####");
}

TEST_CASE("the screen has devices with their shares, links, warnings, and how to leave") {
    const std::string text = joined(live_lines(loading(), 12.34, terminal(100)));
    CHECK(contains(text, "; now 12.3 tokens/s"));
    CHECK(contains(text, "│ kitchen (root) │ ready "));
    CHECK(contains(text, "│ loading 25 % "));
    CHECK(contains(text, "  60 % │"));
    CHECK(contains(text, "  40 % │"));
    CHECK(contains(text, "Links    kitchen - attic: 0.23 ms, 11 to 110 MB/s\n"));
    CHECK(contains(text, "warning: attic: it computes"));
    CHECK(contains(text, "\nq leaves\n"));
    messages::StatusReply idle = loading();
    idle.tokens_per_second = 7;
    CHECK(contains(joined(live_lines(idle, 0, terminal(100))), "; last 7.0 tokens/s"));
}

TEST_CASE("no line is wider than the terminal, down to eighty columns, with bars at all of them") {
    messages::StatusReply status = loading();
    status.devices[1].name = "a-rather-long-name-of-a-board";
    for (const std::size_t columns : {80, 90, 120, 200}) {
        for (const bool unicode : {true, false}) {
            CAPTURE(columns);
            const auto lines = live_lines(status, 1, terminal(columns, unicode, true));
            for (const auto& line : lines) CHECK(display_width(line) <= columns);
            CHECK(contains(joined(lines), unicode ? "██" : "##"));
        }
    }
}

TEST_CASE("a frame rewrites the screen in place, cuts what is too wide and too much") {
    CHECK(LiveScreen::frame({"one", "two"}, {10, 5}) == "\x1b[H\x1b[Kone\r\n\x1b[Ktwo\r\n\x1b[J");
    // The last row gets no line end, which would scroll.
    CHECK(LiveScreen::frame({"1", "2", "3"}, {10, 2}) == "\x1b[H\x1b[K1\r\n\x1b[K2");
    CHECK(LiveScreen::frame({"abcdef"}, {3, 1}) == "\x1b[H\x1b[Kabc\x1b[0m");
    CHECK(LiveScreen::frame({"\x1b[31m█▒░\x1b[0m"}, {3, 1}) == "\x1b[H\x1b[K\x1b[31m█▒░\x1b[0m");
    CHECK(LiveScreen::frame({"\x1b[31m█▒░x\x1b[0m"}, {2, 1}) == "\x1b[H\x1b[K\x1b[31m█▒\x1b[0m");
}

TEST_CASE("tokens a second are counted between looks, and another root begins anew") {
    TokenRate rate;
    const TokenRate::Time start{};
    rate.look(100, start);
    CHECK(rate.per_second() == 0);
    rate.look(150, start + 2s);
    CHECK(rate.per_second() == 25);
    rate.look(3, start + 3s);
    CHECK(rate.per_second() == 0);
    rate.look(13, start + 4s);
    CHECK(rate.per_second() == 10);
}

TEST_SUITE_END();

}  // namespace live_status_test
