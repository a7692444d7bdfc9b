#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace bench_test {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/bench");

namespace {

messages::BenchReply measured() {
    messages::BenchReply reply;
    reply.profile = {{11e9, 40e9, 40e9},
                     {11.04e9, 41e9, 41e9},
                     {10.5e9, 212e9, 190e9},
                     {9.25e9, 207e9, 5e9},
                     {8e9, 180e9, 160e9},
                     2.5e9,
                     20e9,
                     0.5e9,
                     12.34e-6};
    reply.origin = messages::ProfileOrigin::measured;
    reply.date = "2026-11-29T16:40:00Z";
    reply.cpu = "Raspberry Pi 5 \x1b[31mModel B";
    reply.isa = "dotprod";
    reply.version = "0.1.0";
    reply.threads = 4;
    reply.cpus = {0, 1, 2, 3};
    reply.memory_total = 8ULL << 30;
    return reply;
}

}  // namespace

TEST_CASE("bench measures and shows a table of 80 columns") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Progress{"measuring this device", 1, 9});
        reply(measured());
    });
    const Result result = run_shoal({"bench", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out ==
          "Measured  2026-11-29T16:40:00Z, by version 0.1.0\n"
          "Device    Raspberry Pi 5 ?[31mModel B\n"
          "Threads   4 with dotprod, on CPUs 0 1 2 3\n"
          "Memory    8.0 GiB\n"
          "\n"
          "WEIGHTS                 ONE ROW  MANY ROWS  AS IN FILE\n"
          "F32                   11.0 GB/s   40.0 G/s    40.0 G/s\n"
          "F16, BF16             11.0 GB/s   41.0 G/s    41.0 G/s\n"
          "Q8_0                  10.5 GB/s    212 G/s     190 G/s\n"
          "Q4_0 to Q5_1, IQ4_NL  9.25 GB/s    207 G/s    5.00 G/s\n"
          "Q2_K to Q6_K, IQ4_XS  8.00 GB/s    180 G/s     160 G/s\n"
          "\n"
          "Attention  one row 2.50 G/s, many rows 20.0 G/s (elements of K)\n"
          "Between    0.50 G/s elements, and 12.3 us a layer\n");
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);
    REQUIRE(daemon.requests_of<messages::BenchRequest>().size() == 1);
    CHECK_FALSE(daemon.requests_of<messages::BenchRequest>()[0].show);
}

TEST_CASE("bench shows what was measured of the cluster's links") {
    messages::StatusReply status;
    for (const char* name : {"kitchen", "attic\x1b"}) {
        messages::DeviceInfo device;
        device.id = name[0] == 'k' ? "0a" : "0b";
        device.name = name;
        status.devices.push_back(device);
    }
    status.links = {{"0a", "0b", 2.26e-4, 1.1e8, 9.75e7, "2026-11-29T16:40:00Z", "", "", "", ""}};
    FakeDaemon daemon([&](const messages::RequestFrame& frame, const FakeDaemon::Reply& reply) {
        if (std::holds_alternative<messages::StatusRequest>(frame.body)) return reply(status);
        reply(measured());
    });
    const Result result = run_shoal({"bench", "--show", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(
        result.out.ends_with("us a layer\n"
                             "\n"
                             "LINK              EXCHANGE       THERE       BACK  MEASURED\n"
                             "kitchen - attic?   0.23 ms  110.0 MB/s  97.5 MB/s  "
                             "2026-11-29T16:40:00Z\n"));
}

TEST_CASE("bench --show measures nothing, and says where a guess comes from") {
    messages::BenchReply known;
    FakeDaemon daemon(
        [&](const messages::RequestFrame&, const FakeDaemon::Reply& reply) { reply(known); });
    Result result = run_shoal({"bench", "--show", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out.starts_with("Guessed from its speed with Q8_0; `shoal bench` measures"));
    CHECK(daemon.requests_of<messages::BenchRequest>().at(0).show);
    known.origin = messages::ProfileOrigin::given;
    result = run_shoal({"bench", "--show", "--socket", daemon.socket()});
    CHECK(result.out.starts_with("Guessed from device.speed_bytes"));
    known = measured();
    known.not_stored = "/var/lib/shoal/measured.json: no space";
    result = run_shoal({"bench", "--show", "--socket", daemon.socket()});
    CHECK(
        result.out.ends_with("\nIt is lost when the daemon ends: /var/lib/shoal/measured.json: "
                             "no space\n"));
}

TEST_CASE("bench tells programs every number") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Progress{"measuring this device", 1, 9});
        reply(measured());
    });
    const Result result = run_shoal({"bench", "--json", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    std::istringstream lines(result.out);
    std::string line;
    REQUIRE(std::getline(lines, line));
    CHECK(nlohmann::json::parse(line)["event"] == "progress");
    REQUIRE(std::getline(lines, line));
    const auto json = nlohmann::json::parse(line);
    CHECK(json["event"] == "bench");
    CHECK(json["origin"] == "measured");
    CHECK(json["products"]["q4"] ==
          nlohmann::json{{"one_row", 9.25e9}, {"many_rows", 207e9}, {"in_file", 5e9}});
    CHECK(json["products"].size() == 5);
    CHECK(json["attend_one"] == 2.5e9);
    CHECK(json["layer_seconds"] == 12.34e-6);
    CHECK(json["cpus"] == nlohmann::json{0, 1, 2, 3});
}

TEST_CASE("a busy device is told of, with the exit code of a busy daemon") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Failed{messages::ErrorCode::busy, "a generation runs on this device"});
    });
    const Result result = run_shoal({"bench", "--socket", daemon.socket()});
    CHECK(result.code == 5);
    CHECK(result.out.empty());
    CHECK(result.err == "shoal: a generation runs on this device\n");
}

TEST_SUITE_END();

}  // namespace bench_test
