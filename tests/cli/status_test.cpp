#include <doctest/doctest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/terminal.hpp"
#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace status_test {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/status");

namespace {

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

messages::StatusReply cluster_of_three() {
    messages::DeviceInfo kitchen;
    kitchen.id = "aa11";
    kitchen.name = "kitchen";
    kitchen.address = "10.0.0.5";
    kitchen.cpu = "neon";
    kitchen.threads = 4;
    kitchen.self = kitchen.root = true;
    kitchen.rank = 0;
    kitchen.slice.q_heads = {0, 4};
    kitchen.slice.kv_heads = {0, 1};
    kitchen.slice.ffn = {0, 96};
    kitchen.slice.vocab = {0, 250};
    kitchen.memory_total = std::uint64_t{8} << 30;
    kitchen.memory_available = std::uint64_t{5} << 30;
    kitchen.weight_bytes = kitchen.planned_weight_bytes = 600 << 20;
    kitchen.kv_bytes = 64 << 20;
    kitchen.state = "ready";
    messages::DeviceInfo attic = kitchen;
    attic.id = "bb22";
    attic.name = "attic";
    attic.address = "10.0.0.6";
    attic.self = attic.root = false;
    attic.rank = 1;
    attic.slice.q_heads = {4, 8};
    attic.slice.ffn = {96, 192};
    attic.weight_bytes = 100 << 20;
    attic.state = "loading 17 %";
    attic.round_trip_ms = 0.31;
    messages::DeviceInfo shed;
    shed.id = "cc33";
    shed.name = "shed";
    shed.alive = false;
    messages::StatusReply status;
    status.version = "0.1.0";
    status.cluster = "3f2a-91c0-77de";
    status.self = status.root = "aa11";
    status.term = 4;
    status.plan = 2;
    status.model = "story";
    status.context = 2048;
    status.kv_type = "f16";
    status.collectives = "q8_0";
    status.running = 1;
    status.generated_tokens = 1234;
    status.tokens_per_second = 41.26;
    status.devices = {kitchen, attic, shed};
    return status;
}

void answer(const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
    reply(cluster_of_three());
}

}  // namespace

TEST_CASE("status shows the cluster, its model and what each device computes") {
    FakeDaemon daemon(answer);
    const Result result = run_shoal({"status", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out ==
          "Cluster  3f2a-91c0-77de, 2 devices and 1 lost, root kitchen (term 4, plan 2), version "
          "0.1.0\n"
          "Model    story, context 2048, KV cache f16, collectives q8_0\n"
          "Work     1 running, 0 waiting; 1234 tokens so far; last 41.3 tokens/s\n"
          "\n"
          "DEVICE   RANK     STATE         ADDRESS   CPU      HEADS  KV  FFN COLUMNS  VOCABULARY  "
          "           WEIGHTS  KV CACHE         FREE MEMORY     LINK\n"
          "kitchen  root, 0  ready         10.0.0.5  neon x4    0-3   0         0-95       0-249  "
          "           600 MiB    64 MiB  5.0 GiB of 8.0 GiB     here\n"
          "attic    1        loading 17 %  10.0.0.6  neon x4    4-7   0       96-191       0-249  "
          "100 MiB of 600 MiB    64 MiB  5.0 GiB of 8.0 GiB  0.31 ms\n"
          "shed              lost\n");
}

TEST_CASE("status as JSON has everything") {
    FakeDaemon daemon(answer);
    const auto json =
        nlohmann::json::parse(run_shoal({"status", "--json", "--socket", daemon.socket()}).out);
    CHECK(json["event"] == "status");
    CHECK(json["cluster"] == "3f2a-91c0-77de");
    CHECK(json["term"] == 4);
    CHECK(json["devices"].size() == 3);
    CHECK(json["devices"][1]["q_heads"] == nlohmann::json{4, 8});
    CHECK(json["devices"][1]["round_trip_ms"] == 0.31);
    CHECK(json["devices"][0]["round_trip_ms"].is_null());
    CHECK(json["devices"][2]["alive"] == false);
}

TEST_CASE("status says what links were measured to do, from the least to the most") {
    messages::StatusReply status = cluster_of_three();
    status.devices[2].alive = true;
    status.links = {{"aa11", "bb22", 230e-6, 110e6, 11e6, "2026-11-29T16:40:00Z", "", "10.0.0.6",
                     "zmtp", "AES-256-OCB"}};
    FakeDaemon daemon(
        [&](const messages::RequestFrame&, const FakeDaemon::Reply& reply) { reply(status); });
    const std::vector<std::string> arguments = {"status", "--socket", daemon.socket()};
    CHECK(contains(
        run_shoal(arguments).out,
        "\nLinks    1 of 3 measured: an exchange takes 0.23 ms, 11 to 110 MB/s each way\n"));
    const auto json =
        nlohmann::json::parse(run_shoal({"status", "--json", "--socket", daemon.socket()}).out);
    REQUIRE(json["links"].size() == 1);
    CHECK(json["links"][0]["devices"] == nlohmann::json{"aa11", "bb22"});
    CHECK(json["links"][0]["bytes_per_second"] == nlohmann::json{110e6, 11e6});
    CHECK(json["links"][0]["addresses"] == nlohmann::json{"", "10.0.0.6"});
    status.links.push_back(status.links[0]);
    status.links[1].exchange_seconds = 1.5e-3;
    CHECK(contains(run_shoal(arguments).out, "2 of 3 measured: an exchange takes 0.23 to 1.5 ms"));
}

TEST_CASE("boxes are drawn where the terminal and the locale can show them") {
    FakeDaemon daemon(answer);
    const std::vector<std::string> arguments = {"status", "--socket", daemon.socket()};
    CHECK(contains(run_shoal(arguments, {.terminal = true}).out, "│ kitchen │ root, 0 │"));
    const Result ascii = run_shoal(arguments, {.environment = {"LC_ALL=C"}, .terminal = true});
    CHECK_FALSE(contains(ascii.out, "│"));
    CHECK(contains(ascii.out, "kitchen  root, 0"));
}

TEST_CASE("on a narrow terminal columns go but no line is too long") {
    FakeDaemon daemon(answer);
    for (const int columns : {60, 80, 100, 120, 140}) {
        const Result result =
            run_shoal({"status", "--socket", daemon.socket()},
                      {.terminal = true, .columns = static_cast<unsigned short>(columns)});
        CAPTURE(columns);
        std::istringstream lines(result.out);
        bool in_table = false;
        std::size_t table_lines = 0;
        for (std::string line; std::getline(lines, line);) {
            if (line.ends_with('\r')) line.pop_back();
            in_table = in_table || line.starts_with("┌");
            if (!in_table) continue;
            ++table_lines;
            CHECK(shoal::cli::display_width(line) <= columns);
        }
        CHECK(table_lines == 7);
        CHECK(contains(result.out, "kitchen"));
        CHECK(contains(result.out, "STATE"));
    }
}

TEST_CASE("a terminal of 80 columns breaks lines between words only") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        messages::StatusReply status = cluster_of_three();
        status.model = "a-model-with-quite-a-long-name-of-its-own-q4_k_m";
        status.prefill_tokens_per_second = 1234;
        status.warnings = {{"disk-full", messages::Severity::error, "bb22",
                            "the folder /var/lib/shoal has no room for the parts of the model that "
                            "this device computes",
                            "free some 400 MiB there, or set device.state_dir to a folder on "
                            "another disk and start the daemon again"}};
        reply(status);
    });
    const std::vector<std::string> arguments = {"status", "--socket", daemon.socket()};
    std::string narrow = run_shoal(arguments, {.terminal = true, .columns = 80}).out;
    std::erase(narrow, '\r');
    std::istringstream lines(narrow);
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        CHECK(shoal::cli::display_width(line) <= 80);
    }
    CHECK(contains(narrow, "device computes\n    free some 400 MiB"));
    CHECK(contains(narrow, "on another disk\n    and start the daemon again\n"));
    // Nothing but line ends and indents differs from the wide form; a pipe has no breaks at all.
    const auto words = [](const std::string& text) {
        std::istringstream in(text.substr(text.find("attic: ")));
        std::vector<std::string> all;
        for (std::string word; in >> word;) all.push_back(word);
        return all;
    };
    const std::string piped = run_shoal(arguments).out;
    CHECK(words(narrow.substr(narrow.find("\x1b[31merror"))) ==
          words(piped.substr(piped.find("error: "))));
    CHECK(contains(piped, "or set device.state_dir to a folder on another disk and start"));
}

TEST_CASE("devices of one name are told apart, lost ones say since when") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        messages::StatusReply status = cluster_of_three();
        status.devices[0].id = "aa11bb22cc33dd44";
        status.self = status.root = status.devices[0].id;
        status.devices[1].name = "kitchen";
        status.devices[2].state = "lost 12 s ago";
        status.warnings = {{"x", messages::Severity::notice, "bb22", "it is slow", ""}};
        reply(status);
    });
    const std::string out = run_shoal({"status", "--socket", daemon.socket()}).out;
    CHECK(contains(out, "root kitchen (aa11bb22) (term 4"));
    CHECK(contains(out, "\nkitchen (aa11bb22)  root, 0  ready"));
    CHECK(contains(out, "\nkitchen (bb22)      1        loading"));
    CHECK(contains(out, "\nshed                         lost 12 s ago\n"));
    CHECK(contains(out, "notice: kitchen (bb22): it is slow"));
}

TEST_CASE("colour is for terminals, unless it is asked for or not wanted") {
    FakeDaemon daemon(answer);
    const auto coloured = [&](std::vector<std::string> more, ProcessOptions options) {
        more.insert(more.begin(), {"status", "--socket", daemon.socket()});
        const std::string out = run_shoal(more, options).out;
        CHECK(contains(out, "\x1b[32mready\x1b[0m") == contains(out, "\x1b[31mlost\x1b[0m"));
        return contains(out, "\x1b[32mready");
    };
    CHECK_FALSE(coloured({}, {}));
    CHECK(coloured({"--color", "always"}, {}));
    CHECK(coloured({}, {.terminal = true}));
    CHECK(coloured({"--color=auto"}, {.terminal = true}));
    CHECK_FALSE(coloured({"--color", "never"}, {.terminal = true}));
    CHECK_FALSE(coloured({}, {.environment = {"NO_COLOR=1"}, .terminal = true}));
    CHECK(coloured({}, {.environment = {"NO_COLOR="}, .terminal = true}));
    CHECK(coloured({"--color", "always"}, {.environment = {"NO_COLOR=1"}}));
    CHECK(run_shoal({"status", "--color", "sometimes"}).code == 2);
}

TEST_CASE("an election and an empty cluster are said in words") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        messages::StatusReply status = cluster_of_three();
        status.root.clear();
        status.model.clear();
        status.devices.resize(1);
        reply(status);
    });
    const Result result = run_shoal({"status", "--socket", daemon.socket()});
    CHECK(contains(result.out, "1 device, electing a root"));
    CHECK(contains(result.out, "none loaded; `shoal models`"));
}

TEST_CASE("--watch asks again until Ctrl-C") {
    FakeDaemon daemon(answer);
    Process process({"status", "--watch=0.1", "--json", "--socket", daemon.socket()});
    process.wait_for_output("\n{\"event\":\"status\"");
    process.signal(SIGINT);
    CHECK(process.wait() == 130);
    CHECK(daemon.requests_of<messages::StatusRequest>().size() >= 2);
    Process plain({"status", "--watch", "--socket", daemon.socket()});
    plain.wait_for_output("shed");
    plain.close_output();
    CHECK(plain.wait() == 141);
}

TEST_SUITE_END();

}  // namespace status_test
