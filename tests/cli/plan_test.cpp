#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace cli_plan_test {

using namespace shoal::tests;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/plan");

namespace {

messages::PlanReply two_of_three() {
    messages::PlanReply reply;
    reply.model = "llama\x1b[31m";
    reply.context = 8192;
    reply.positions = {0, 4096};
    reply.prompt = 2048;
    reply.request_prompt = 512;
    reply.request_answer = 256;
    reply.min_devices = 1;
    reply.counts = {{1, false, false, {}, 0, 0, 0, 0, 0},
                    {2, true, true, {12.34, 9.5}, 99.96, 0.125, 3ULL << 30, 0, 40},
                    {3, true, false, {12.5, 9.6}, 101, 0.25, 2ULL << 30, 64, 39.5}};
    reply.shown = 2;
    reply.devices = {
        {"pc", true, false, {{0, 20}, {0, 5}, {0, 9000}, {0, 80000}}, 3ULL << 30, 0.6, ""},
        {"pi", true, false, {{20, 32}, {5, 8}, {9000, 14336}, {80000, 128256}}, 2 << 20, 0.4, ""},
        {"old", false, true, {}, 0, 0, "an answer would take 39.5 s with it"},
        {"away", false, false, {}, 0, 0, "plan.exclude of the root names it"}};
    reply.token = {0.01, 0.05, 0.011, 0.002, 0.008};
    reply.sharing_kv = 0.0005;
    return reply;
}

FakeDaemon::Script answering(const messages::Event& event) {
    return [event](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Progress{"predicting plans", 0, 0});
        reply(event);
    };
}

}  // namespace

TEST_CASE("plan shows what a model would do on the cluster, and why so many devices") {
    FakeDaemon daemon(answering(two_of_three()));
    const Result result = run_shoal({"plan", "llama", "--socket", daemon.socket()});
    CHECK(result.err.empty());
    CHECK(result.code == 0);
    CHECK(result.out ==
          "llama?[31m, context 8192; predicted tokens/s\n"
          "\n"
          "DEVICES  DECODE AT 0  DECODE AT 4096  PREFILL OF 2048  EXCHANGE   MEMORY  K, V TWICE\n"
          "      1                                                                               "
          "does not fit\n"
          "      2         12.3            9.50            100.0      12 %  3.0 GiB           0  "
          "chosen\n"
          "      3         12.5            9.60            101.0      25 %  2.0 GiB          64\n"
          "\n"
          "2 devices are chosen: a prompt of 512 tokens and an answer of 256 take 40 s, and fewer "
          "cannot hold the model; with 3 39.5 s, and more must save 3 %.\n"
          "\n"
          "DEVICE  WEIGHTS  HEADS  KV  FFN COLUMNS  VOCABULARY   MEMORY\n"
          "pc       60.0 %     20   5         9000       80000  3.0 GiB\n"
          "pi       40.0 %     12   3         5336       48256  2.0 MiB\n"
          "Spare: old: an answer would take 39.5 s with it\n"
          "Left out: away: plan.exclude of the root names it\n"
          "\n"
          "A token takes 81.00 ms: attention 10.00, FFN 50.00, LM head 11.00, what every device "
          "does 2.00, exchanges 8.00. Computing shared K and V once and exchanging them would "
          "take 0.50 ms longer.\n");
    const auto asked = daemon.requests_of<messages::PlanRequest>();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].model == "llama");
    CHECK(asked[0].devices == 0);
}

TEST_CASE("plan says which links it took") {
    messages::PlanReply reply = two_of_three();
    reply.links = {3, 3, {3e-4, 1e8}, {226e-6, 110e6}, {1e-3, 20e6}};
    FakeDaemon daemon(
        [&](const messages::RequestFrame&, const FakeDaemon::Reply& tell) { tell(reply); });
    const auto shown = [&](const std::string& part) {
        const std::string out = run_shoal({"plan", "llama", "--socket", daemon.socket()}).out;
        CAPTURE(out);
        CHECK(out.find(part) != std::string::npos);
    };
    shown(
        "\nLinks: a small exchange takes 0.226 to 1 ms, and 20 to 110 MB/s go each way; all 3 are "
        "measured.\n");
    reply.links.measured = 2;
    shown("; 2 of 3 are measured, and the others taken for the middle of these.\n");
    reply.links = {3, 0, {25e-5, 110e6}, {25e-5, 110e6}, {25e-5, 110e6}};
    shown("\nLinks: a small exchange takes 0.25 ms, and 110 MB/s go each way; none is measured.\n");
}

TEST_CASE("plan says which models stay in memory beside it, and which make room") {
    messages::PlanReply reply = two_of_three();
    reply.beside = {"small", "other"};
    reply.leaving = {"large"};
    FakeDaemon daemon(answering(reply));
    const std::string out = run_shoal({"plan", "llama", "--socket", daemon.socket()}).out;
    CHECK(out.find("save 3 %.\n"
                   "Beside it stay in memory: small, other.\n"
                   "Make room for it: large.\n"
                   "\n") != std::string::npos);
    const std::string json =
        run_shoal({"plan", "llama", "--json", "--socket", daemon.socket()}).out;
    const auto live = nlohmann::json::parse(json.substr(json.find('\n')));
    CHECK(live["beside"] == nlohmann::json{"small", "other"});
    CHECK(live["leaving"] == nlohmann::json{"large"});
}

TEST_CASE("plan says that large steps have halves, and nothing where they have none") {
    messages::PlanReply reply = two_of_three();
    FakeDaemon daemon(
        [&](const messages::RequestFrame&, const FakeDaemon::Reply& tell) { tell(reply); });
    for (const bool overlap : {false, true}) {
        reply.overlap = overlap;
        std::string out = run_shoal({"plan", "llama", "--socket", daemon.socket()}).out;
        std::ranges::replace(out, '\n', ' ');
        CHECK((out.find(" Large steps compute in two halves, each") != std::string::npos) ==
              overlap);
        out = run_shoal({"plan", "llama", "--json", "--socket", daemon.socket()}).out;
        CHECK(nlohmann::json::parse(out)["overlap"] == overlap);
    }
}

TEST_CASE("plan --devices shows another number of devices") {
    messages::PlanReply reply = two_of_three();
    reply.shown = 3;
    FakeDaemon daemon(answering(reply));
    const Result result =
        run_shoal({"plan", "llama", "--devices", "3", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out.find("\nWith 3 devices:\nDEVICE ") != std::string::npos);
    CHECK(daemon.requests_of<messages::PlanRequest>().at(0).devices == 3);
    CHECK(run_shoal({"plan", "llama", "--devices", "0", "--socket", daemon.socket()}).code == 2);
}

TEST_CASE("plan tells programs the same, whether of a cluster or of a file") {
    FakeDaemon daemon(answering(two_of_three()));
    Result result = run_shoal({"plan", "llama", "--json", "--socket", daemon.socket()});
    CHECK(result.code == 0);
    std::istringstream lines(result.out);
    std::string line;
    REQUIRE(std::getline(lines, line));
    CHECK(nlohmann::json::parse(line)["event"] == "progress");
    REQUIRE(std::getline(lines, line));
    const auto live = nlohmann::json::parse(line);
    CHECK(live["event"] == "plan");
    CHECK(live["counts"][1]["decode_tokens_per_second"] == nlohmann::json{12.34, 9.5});
    CHECK(live["devices"][1]["ffn"] == nlohmann::json{9000, 14336});
    CHECK(live["devices"][2]["spare"] == true);
    CHECK(live["request"] == nlohmann::json{{"prompt", 512}, {"answer", 256}});

    const TempDir folder;
    const std::string file = folder.file("boards.toml");
    std::ofstream(file) << "[model]\nlayers = 4\nwidth = 256\nheads = 8\nffn = 512\n"
                           "vocabulary = 1000\n[[device]]\ncount = 2\ngigabytes_per_second = 10\n";
    result = run_shoal({"plan", "--what-if", file, "--devices", "2", "--json"});
    CHECK(result.code == 0);
    const auto paper = nlohmann::json::parse(result.out);
    CHECK(paper["shown"] == 2);
    std::vector<std::string> keys, of_file;
    for (const auto& [key, value] : live.items()) keys.push_back(key);
    for (const auto& [key, value] : paper.items()) of_file.push_back(key);
    CHECK(keys == of_file);
    CHECK(run_shoal({"plan", "--what-if", file, "--devices", "3"}).err ==
          "shoal: a plan for 3 devices was asked for, and there are 2\n");
}

TEST_CASE("plan without a model, a daemon or a plan says so") {
    Result result = run_shoal({"plan"});
    CHECK(result.code == 2);
    CHECK(result.err.find("MODEL, or --what-if FILE") != std::string::npos);
    result = run_shoal({"plan", "llama", "--socket", "/nowhere/control.sock"});
    CHECK(result.code == 3);
    CHECK(result.err.find("/nowhere/control.sock") != std::string::npos);
    FakeDaemon daemon(answering(messages::Failed{
        messages::ErrorCode::not_found, "no device of the cluster holds a model called \"lama\""}));
    result = run_shoal({"plan", "lama", "--socket", daemon.socket()});
    CHECK(result.code == 4);
    CHECK(result.err == "shoal: no device of the cluster holds a model called \"lama\"\n");
}

TEST_SUITE_END();

}  // namespace cli_plan_test
