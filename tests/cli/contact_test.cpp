// shoal invite, join, leave and devices, and invitations as QR codes.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/qr.hpp"
#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace contact_test {

using namespace shoal::tests;
using shoal::cli::qr_text;
using shoal::cli::Terminal;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/contact");

namespace {

const std::string kLine =
    "shoal-join1-0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjkmnpqrstvwxyz"
    "0123456789abcdefghjkmnpqrstvw";

FakeDaemon::Script answering(const messages::Event& event) {
    return [event](const messages::RequestFrame&, const FakeDaemon::Reply& reply) { reply(event); };
}

messages::InviteReply invitation() {
    return {kLine, 600, "3f2a-91c0-77de", {"10.0.0.1:40123"}};
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// The modules of a code, row by row, '#' dark, as a terminal shows it.
std::vector<std::string> modules(const std::string& text, bool blocks_are_dark) {
    std::vector<std::string> rows;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::string upper, lower;
        for (std::size_t i = 0; i < line.size();) {
            if (line[i] == '\x1b') {
                i = line.find('m', i) + 1;
                continue;
            }
            const bool is_space = line[i] == ' ';
            const std::string block = is_space ? "" : line.substr(i, 3);
            i += is_space ? 1 : 3;
            const bool up = block == "\u2588" || block == "\u2580";
            const bool low = block == "\u2588" || block == "\u2584";
            upper.push_back(up == blocks_are_dark ? '#' : '.');
            lower.push_back(low == blocks_are_dark ? '#' : '.');
        }
        rows.push_back(upper);
        rows.push_back(lower);
    }
    return rows;
}

}  // namespace

TEST_CASE("a pipe gets the invitation alone, a terminal what to do with it and a code") {
    FakeDaemon daemon(answering(invitation()));
    const Result piped = run_shoal({"--socket", daemon.socket(), "invite"});
    CHECK(piped.code == 0);
    CHECK(piped.out == kLine + "\n");
    CHECK(piped.err.empty());
    ProcessOptions terminal;
    terminal.terminal = true;
    const Result shown = run_shoal({"--socket", daemon.socket(), "invite"}, terminal);
    CHECK(has(shown.out, "shoal join " + kLine));
    CHECK(has(shown.out, "10 minutes"));
    CHECK(has(shown.out, "3f2a-91c0-77de"));
    CHECK(has(shown.out, "\u2580"));
    const Result plain = run_shoal({"--socket", daemon.socket(), "invite", "--no-qr"}, terminal);
    CHECK(has(plain.out, "shoal join " + kLine));
    CHECK_FALSE(has(plain.out, "\u2580"));
    terminal.columns = 40;
    const Result narrow = run_shoal({"--socket", daemon.socket(), "invite"}, terminal);
    CHECK(has(narrow.out, "shoal join " + kLine));
    CHECK_FALSE(has(narrow.out, "\u2580"));
    const Result json = run_shoal({"--socket", daemon.socket(), "--json", "invite"});
    const auto event = nlohmann::json::parse(json.out);
    CHECK(event["event"] == "invitation");
    CHECK(event["invitation"] == kLine);
    CHECK(event["seconds"] == 600);
}

TEST_CASE("a code is dark on light, with a quiet zone and its three marks, on either terminal") {
    Terminal terminal{true, true, true, 80};
    const auto rows = modules(qr_text(kLine, terminal), true);
    terminal.color = false;
    CHECK(modules(qr_text(kLine, terminal), false) == rows);
    // Version 4 holds 114 capitals; a row more where their number is odd.
    constexpr std::size_t kModules = 33, kZone = 4, kWide = kModules + 2 * kZone;
    REQUIRE(rows.size() == kWide + 1);
    for (const std::string& row : rows) REQUIRE(row.size() == kWide);
    for (std::size_t i = 0; i < kZone; ++i) {
        CHECK(rows[i].find('#') == std::string::npos);
        CHECK(rows[kWide - 1 - i].find('#') == std::string::npos);
    }
    const std::vector<std::string> mark{"#######", "#.....#", "#.###.#", "#.###.#",
                                        "#.###.#", "#.....#", "#######"};
    const auto marked = [&](std::size_t x, std::size_t y) {
        for (std::size_t i = 0; i < mark.size(); ++i) {
            if (rows[y + i].substr(x, mark.size()) != mark[i]) return false;
        }
        return true;
    };
    const std::size_t far = kZone + kModules - mark.size();
    CHECK(marked(kZone, kZone));
    CHECK(marked(far, kZone));
    CHECK(marked(kZone, far));
    terminal.columns = kWide;
    CHECK_FALSE(qr_text(kLine, terminal).empty());
    terminal.columns = kWide - 1;
    CHECK(qr_text(kLine, terminal).empty());
    CHECK(qr_text(kLine, Terminal{true, false, true, 80}).empty());
    CHECK(qr_text(kLine, Terminal{false, true, true, 80}).empty());
    CHECK(qr_text(std::string(5000, 'x'), Terminal{true, true, true, 500}).empty());
}

TEST_CASE("join takes the line from its argument or standard input, and says where it is now") {
    FakeDaemon daemon(answering(messages::ClusterReply{
        "3f2a-91c0-77de", {"kitchen", "desk", "at\x1btic"}, "the device is not found"}));
    const Result joined = run_shoal({"--socket", daemon.socket(), "join", kLine});
    CHECK(joined.code == 0);
    CHECK(joined.out == "This device is now in the cluster 3f2a-91c0-77de, with desk, at?tic.\n");
    CHECK(joined.err == "shoal: the device is not found\n");
    ProcessOptions options;
    options.input = "  " + kLine + "\r\nand more\n";
    CHECK(run_shoal({"--socket", daemon.socket(), "join"}, options).code == 0);
    CHECK(run_shoal({"--socket", daemon.socket(), "join", "-"}, options).code == 0);
    const auto asked = daemon.requests_of<messages::JoinRequest>();
    REQUIRE(asked.size() == 3);
    CHECK(asked[0].invitation == kLine);
    CHECK(asked[1].invitation == "  " + kLine + "\r");
    CHECK(asked[2].invitation == asked[1].invitation);
    options.input = " \n";
    const Result none = run_shoal({"--socket", daemon.socket(), "join"}, options);
    CHECK(none.code == 2);
    CHECK(has(none.err, "shoal invite"));
    CHECK(daemon.requests_of<messages::JoinRequest>().size() == 3);
}

TEST_CASE("what the daemon refuses is told, with a code of its own") {
    FakeDaemon daemon(answering(messages::Failed{messages::ErrorCode::forbidden, "used already"}));
    const Result refused = run_shoal({"--socket", daemon.socket(), "join", kLine});
    CHECK(refused.code == 1);
    CHECK(refused.out.empty());
    CHECK(refused.err == "shoal: used already\n");
}

TEST_CASE("leave says that the device is alone") {
    FakeDaemon daemon(answering(messages::ClusterReply{"3f2a-91c0-77de", {"kitchen"}, ""}));
    const Result left = run_shoal({"--socket", daemon.socket(), "leave"});
    CHECK(left.code == 0);
    CHECK(left.out == "This device left, and is now the cluster 3f2a-91c0-77de, alone so far.\n");
    CHECK(daemon.requests_of<messages::LeaveRequest>().size() == 1);
}

TEST_CASE("devices are a table, and are renamed and forgotten by what it shows") {
    messages::DevicesReply reply;
    reply.cluster = "3f2a-91c0-77de";
    reply.devices = {
        {"00112233445566778899aabbccddeeff", "desk", "10.0.0.1", "0.1.0", 86400, 86400, true, true},
        {"ffeeddccbbaa99887766554433221100", "kit\nchen", "10.0.0.2", "0.1.0", 86400, 172800, false,
         false}};
    FakeDaemon daemon(answering(reply));
    ProcessOptions options;
    options.environment = {"TZ=UTC"};
    const Result list = run_shoal({"--socket", daemon.socket(), "devices"}, options);
    CHECK(list.code == 0);
    CHECK(list.out ==
          "Cluster 3f2a-91c0-77de\n\n"
          "DEVICE    ID        ADDRESS   SINCE             VERSION  STATE\n"
          "desk      00112233  10.0.0.1  1970-01-02 00:00  0.1.0    here\n"
          "kit chen  ffeeddcc  10.0.0.2  1970-01-02 00:00  0.1.0    last seen 1970-01-03 00:00\n");
    CHECK(run_shoal({"--socket", daemon.socket(), "devices", "list"}, options).out == list.out);
    CHECK(run_shoal({"--socket", daemon.socket(), "devices", "rename", "desk", "a b"}).code == 0);
    CHECK(run_shoal({"--socket", daemon.socket(), "devices", "forget", "ffeeddcc"}).code == 0);
    CHECK(daemon.requests_of<messages::DevicesRequest>().size() == 2);
    const auto renamed = daemon.requests_of<messages::RenameRequest>();
    REQUIRE(renamed.size() == 1);
    CHECK(renamed[0].device == "desk");
    CHECK(renamed[0].name == "a b");
    const auto forgotten = daemon.requests_of<messages::ForgetRequest>();
    REQUIRE(forgotten.size() == 1);
    CHECK(forgotten[0].device == "ffeeddcc");
    for (const std::vector<std::string>& wrong :
         {std::vector<std::string>{"devices", "rename", "desk"},
          {"devices", "forget"},
          {"devices", "remove", "desk"},
          {"join", kLine, "more"}}) {
        CHECK(run_shoal(wrong).code == 2);
    }
    CHECK(has(run_shoal({"devices", "renam"}).err, "did you mean `shoal devices rename`?"));
}

TEST_SUITE_END();

}  // namespace contact_test
