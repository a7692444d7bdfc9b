#include <doctest/doctest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/terminal.hpp"
#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

using namespace shoal::tests;
namespace wire = shoal::mesh::wire;

TEST_SUITE_BEGIN("cli/status");

namespace {

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

wire::StatusReply cluster_of_three() {
    wire::DeviceInfo kitchen;
    kitchen.id = "aa11";
    kitchen.name = "kitchen";
    kitchen.address = "10.0.0.5";
    kitchen.cpu = "neon";
    kitchen.threads = 4;
    kitchen.self = kitchen.root = true;
    kitchen.rank = 0;
    kitchen.q_heads = {0, 4};
    kitchen.kv_heads = {0, 1};
    kitchen.ffn_columns = {0, 96};
    kitchen.vocab_rows = {0, 250};
    kitchen.memory_total = std::uint64_t{8} << 30;
    kitchen.memory_available = std::uint64_t{5} << 30;
    kitchen.weight_bytes = kitchen.planned_weight_bytes = 600 << 20;
    kitchen.kv_bytes = 64 << 20;
    kitchen.state = "ready";
    wire::DeviceInfo attic = kitchen;
    attic.id = "bb22";
    attic.name = "attic";
    attic.address = "10.0.0.6";
    attic.self = attic.root = false;
    attic.rank = 1;
    attic.q_heads = {4, 8};
    attic.ffn_columns = {96, 192};
    attic.weight_bytes = 100 << 20;
    attic.state = "loading 17 %";
    attic.round_trip_ms = 0.31;
    wire::DeviceInfo shed;
    shed.id = "cc33";
    shed.name = "shed";
    shed.alive = false;
    wire::StatusReply status;
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

void answer(const wire::RequestFrame&, const FakeDaemon::Reply& reply) {
    reply(cluster_of_three());
}

}  // namespace

TEST_CASE("status shows the cluster, its model and what each device computes") {
    FakeDaemon daemon(answer);
    const Result result = run_shoal({"status", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out ==
          "Cluster  3f2a-91c0-77de, 3 devices, root kitchen (term 4, plan 2), version 0.1.0\n"
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

TEST_CASE("an election and an empty cluster are said in words") {
    FakeDaemon daemon([](const wire::RequestFrame&, const FakeDaemon::Reply& reply) {
        wire::StatusReply status = cluster_of_three();
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
    CHECK(daemon.requests_of<wire::StatusRequest>().size() >= 2);
    Process plain({"status", "--watch", "--socket", daemon.socket()});
    plain.wait_for_output("shed");
    plain.close_output();
    CHECK(plain.wait() == 141);
}

TEST_SUITE_END();
