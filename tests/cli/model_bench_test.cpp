#include "cli/model_bench.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/process.hpp"

namespace model_bench_test {

using namespace shoal::tests;
using shoal::cli::bench_prompt;
namespace messages = shoal::mesh::messages;

TEST_SUITE_BEGIN("cli/model_bench");

namespace {

messages::DescribeReply story() {
    messages::DescribeReply about;
    about.info.name = "story";
    about.info.quantisation = "Q4_0";
    about.info.file_bytes = std::uint64_t{3} << 29;
    about.info.parameters = 1'234'000'000;
    about.vocabulary = 1000;
    return about;
}

/// Reads 500 tokens a second; writes 10, 20, 30 ... a second, one answer after the other.
struct Cluster {
    Cluster()
        : daemon([this](const messages::RequestFrame& frame, const FakeDaemon::Reply& reply) {
              const auto& asked = std::get<messages::Generate>(frame.body);
              messages::Done done;
              done.devices = 3;
              done.prompt_tokens = static_cast<std::uint32_t>(asked.prompt_ids.size());
              done.generated_tokens = asked.max_tokens;
              done.prefill_seconds = done.prompt_tokens / 500.0;
              if (done.prompt_tokens == 1) written += 10;
              done.decode_seconds = done.generated_tokens / (written > 0 ? written : 1);
              reply(done);
          }) {
        daemon.describe(story());
    }
    double written = 0;
    FakeDaemon daemon;
};

}  // namespace

TEST_CASE("a model's rates are a table to paste, the first run left out") {
    Cluster cluster;
    const Result result = run_shoal({"bench", "story", "--socket", cluster.daemon.socket()});
    CHECK(result.code == 0);
    CHECK(result.out ==
          "| model | size | parameters | devices | test | tokens/s |\n"
          "|---|---:|---:|---:|---|---:|\n"
          "| story Q4_0 | 1.5 GiB | 1.23 B | 3 | pp512 | 500.00 ± 0.00 |\n"
          "| story Q4_0 | 1.5 GiB | 1.23 B | 3 | tg128 | 20.00 ± 10.00 |\n");
    const auto asked = cluster.daemon.requests_of<messages::Generate>();
    REQUIRE(asked.size() == 7);
    CHECK(asked[1].prompt_ids.size() == 512);
    CHECK(asked[1].max_tokens == 1);
    CHECK(asked[2].prompt_ids.size() == 1);
    CHECK(asked[2].max_tokens == 128);
    CHECK(asked[2].ignore_eos);
    CHECK(asked[2].sampling.temperature == 0);
}

TEST_CASE("as JSON there are all runs, and lengths and counts can be chosen") {
    Cluster cluster;
    const Result result = run_shoal({"bench", "story", "-p", "10", "-n", "4", "-r", "2", "--json",
                                     "--socket", cluster.daemon.socket()});
    const auto json = nlohmann::json::parse(result.out);
    CHECK(json["event"] == "model_bench");
    CHECK(json["devices"] == 3);
    CHECK(json["results"][0]["test"] == "pp10");
    CHECK(json["results"][1]["test"] == "tg4");
    CHECK(json["results"][1]["runs"] == nlohmann::json{10, 20});
    CHECK(json["results"][1]["tokens_per_second"] == 15);
}

TEST_CASE("what fails ends it with the code of what failed, and without a table") {
    FakeDaemon daemon([](const messages::RequestFrame&, const FakeDaemon::Reply& reply) {
        reply(messages::Failed{messages::ErrorCode::busy, "the queue is full"});
    });
    daemon.describe(story());
    const Result result = run_shoal({"bench", "story", "--socket", daemon.socket()});
    CHECK(result.code == 5);
    CHECK(result.out.empty());
    CHECK(run_shoal({"bench", "--show", "story", "--socket", daemon.socket()}).code == 2);
}

TEST_CASE("prompts are of the middle of the vocabulary, and those of a seed are the same") {
    const auto ids = bench_prompt(300, 1000, 5);
    CHECK(ids.size() == 300);
    CHECK(ids == bench_prompt(300, 1000, 5));
    CHECK(ids[0] != bench_prompt(300, 1000, 6)[0]);
    CHECK(std::ranges::all_of(ids, [](auto id) { return id >= 250 && id < 750; }));
    CHECK(bench_prompt(2, 0, 5).size() == 2);
}

TEST_SUITE_END();

}  // namespace model_bench_test
